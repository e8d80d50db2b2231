-- What one thread of wrk sends: of 27 requests 10 fail, 3 panic, and 14 pay. A tenth more is sent by a client that hangs up.
local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  share, accounts, run = tonumber(arguments[1]), tonumber(arguments[2]), arguments[3]
  sent, heard, paid, refused, failed = 0, 0, 0, 0, 0
  math.randomseed(number + 1)
end

function request()
  sent = sent + 1
  local kind = sent % 27
  local path, reference = "/payments", "wrk-" .. run .. "-" .. number .. "-" .. sent
  local payer = math.random(accounts)
  local payee, amount = payer % accounts + 1, math.random(9)
  if kind < 3 then
    payee = accounts + 1000 -- nobody
  elseif kind < 6 then
    amount = 1000000000 -- too much
  elseif kind < 10 then
    reference = "taken" -- refused when both databases were written to
  elseif kind < 13 then
    path = "/broken-payments" -- panics when both databases were written to
  end
  local body = string.format('{"reference": "%s", "payer": %d, "payee": %d, "amount": %d}',
    reference, payer, payee, amount)
  return wrk.format("POST", path, { ["Content-Type"] = "application/json" }, body)
end

function response(status)
  heard = heard + 1
  if status == 201 then paid = paid + 1
  elseif status < 500 then refused = refused + 1
  else failed = failed + 1 end
  if heard == share then
    wrk.thread:stop()
    print("enough") -- wrk itself sleeps for its duration: whoever started it hears this, and wakes it
    io.stdout:flush()
  end
end

function done()
  local all = { heard = 0, paid = 0, refused = 0, failed = 0 }
  for _, thread in ipairs(threads) do
    for name, count in pairs(all) do all[name] = count + thread:get(name) end
  end
  print(string.format("counted heard=%d paid=%d refused=%d failed=%d",
    all.heard, all.paid, all.refused, all.failed))
end
