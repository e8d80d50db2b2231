//! The messages from a client to the server, in the protocols of PostgreSQL and MySQL.

use std::collections::HashMap;

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Postgres,
    Mysql,
}

impl Protocol {
    pub(super) fn of(scheme: &str) -> Self {
        match scheme {
            "postgres" | "postgresql" => Self::Postgres,
            "mysql" => Self::Mysql,
            other => panic!("the proxy does not know the protocol of `{other}`"),
        }
    }

    /// Takes the first message off the buffer, if it is complete.
    pub(super) fn split(self, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
        let length = match (self, buffer.as_slice()) {
            // The first message of a connection has no type, and begins with the high byte of its length.
            (Self::Postgres, [a @ 0, b, c, d, ..]) => u32::from_be_bytes([*a, *b, *c, *d]) as usize,
            (Self::Postgres, [_, a, b, c, d, ..]) => {
                1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize
            }
            (Self::Mysql, [a, b, c, _, ..]) => 4 + u32::from_le_bytes([*a, *b, *c, 0]) as usize,
            _ => return None,
        };
        (buffer.len() >= length).then(|| buffer.drain(..length).collect())
    }

    /// Returns the message with a roll-back after its first `count` statements, if it has several statements in text.
    /// On PostgreSQL, at least two must follow: no server ends a transaction before a `COMMIT` without an error.
    pub(super) fn roll_back_within(self, message: &[u8], count: usize) -> Option<Vec<u8>> {
        let text = match (self, message) {
            (Self::Postgres, [b'Q', _, _, _, _, text @ .., 0]) => text,
            (Self::Mysql, [_, _, _, _, 3, text @ ..]) => text,
            _ => return None,
        };
        let text = std::str::from_utf8(text).ok()?;
        let (at, _) = text.match_indices("; ").nth(count.checked_sub(1)?)?;
        let (before, after) = text.split_at(at);
        let named = |first: &str| {
            after
                .split("; ")
                .find_map(|statement| statement.strip_prefix(first))
        };
        let text = match self {
            // An XA branch refuses a `ROLLBACK` without its name.
            Self::Mysql => match (named("XA END "), named("XA PREPARE "), named("XA COMMIT ")) {
                (Some(name), ..) => format!("{before}; XA END {name}; XA ROLLBACK {name}{after}"),
                (None, Some(name), _) => format!("{before}; XA ROLLBACK {name}{after}"),
                (None, None, Some(commit)) => {
                    let name = commit.trim_end_matches(" ONE PHASE");
                    format!("{before}; XA ROLLBACK {name}{after}")
                }
                (None, None, None) => format!("{before}; ROLLBACK{after}"),
            },
            Self::Postgres => {
                text[at + 2..].find("; ")?;
                // Each of the statements that follow commits by itself.
                format!("{before}; ROLLBACK{}", after.replace("; ", "; COMMIT; "))
            }
        };
        let mut spliced = match self {
            Self::Postgres => vec![b'Q'],
            Self::Mysql => Vec::new(),
        };
        match self {
            Self::Postgres => {
                let length = u32::try_from(4 + text.len() + 1).ok()?;
                spliced.extend(length.to_be_bytes());
                spliced.extend(text.as_bytes());
                spliced.push(0);
            }
            Self::Mysql => {
                let length = u32::try_from(1 + text.len()).ok()?;
                spliced.extend(&length.to_le_bytes()[..3]);
                spliced.extend([message[3], 3]);
                spliced.extend(text.as_bytes());
            }
        }
        Some(spliced)
    }
}

/// The meaning of a message for the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The execution of a statement, with its text and its values, in which faults look for their bytes.
    Execute {
        contents: Vec<u8>,
        acts: Acts,
    },
    /// The end of a series of PostgreSQL's extended protocol, at which the server acts.
    Sync,
    Other,
}

/// The time at which the server acts on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acts {
    AtOnce,
    AtSync,
}

/// A parser for the messages of one connection. It remembers prepared statements, because their execution does not
/// repeat the text.
pub(super) struct Reader {
    protocol: Protocol,
    statements: HashMap<Vec<u8>, Vec<u8>>,
    /// The text of a MySQL statement whose number the server has not sent yet.
    preparing: Option<Vec<u8>>,
}

impl Reader {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            statements: HashMap::new(),
            preparing: None,
        }
    }

    /// Parses a message from the client.
    pub(super) fn request(&mut self, message: &[u8]) -> Message {
        match self.protocol {
            Protocol::Postgres => self.postgres_request(message),
            Protocol::Mysql => self.mysql_request(message),
        }
    }

    /// Reads the number of a prepared statement from the server's reply.
    pub(super) fn reply(&mut self, bytes: &[u8]) {
        // COM_STMT_PREPARE_OK: length, sequence, 0, number of the statement. An error begins with 0xff.
        if let (Some(text), [_, _, _, _, 0, number @ ..]) = (self.preparing.take(), bytes)
            && let Some(number) = number.get(..4)
        {
            self.statements.insert(number.to_vec(), text);
        }
    }

    fn postgres_request(&mut self, message: &[u8]) -> Message {
        let Some((kind, body)) = message
            .split_first()
            .and_then(|(kind, rest)| Some((*kind, rest.get(4..)?)))
        else {
            return Message::Other;
        };
        let mut strings = body.split(|byte| *byte == 0);
        let mut string = || strings.next().unwrap_or_default().to_vec();
        match kind {
            b'Q' => Message::Execute {
                contents: body.to_vec(),
                acts: Acts::AtOnce,
            },
            b'P' => {
                let (name, text) = (string(), string());
                self.statements.insert(name, text);
                Message::Other
            }
            b'B' => {
                let (_portal, name) = (string(), string());
                let mut contents = self.statements.get(&name).cloned().unwrap_or_default();
                contents.extend_from_slice(body);
                Message::Execute {
                    contents,
                    acts: Acts::AtSync,
                }
            }
            b'S' => Message::Sync,
            _ => Message::Other,
        }
    }

    fn mysql_request(&mut self, message: &[u8]) -> Message {
        // Length, sequence, command. Only the first packet of a request, of sequence 0, has a command.
        let Some(([_, _, _, 0, command], body)) = message.split_first_chunk() else {
            return Message::Other;
        };
        match command {
            0x03 => Message::Execute {
                contents: body.to_vec(),
                acts: Acts::AtOnce,
            },
            0x16 => {
                self.preparing = Some(body.to_vec());
                Message::Other
            }
            0x17 => {
                let text = body.get(..4).and_then(|number| self.statements.get(number));
                let mut contents = text.cloned().unwrap_or_default();
                contents.extend_from_slice(body);
                Message::Execute {
                    contents,
                    acts: Acts::AtOnce,
                }
            }
            _ => Message::Other,
        }
    }
}

/// Returns whether `needle` occurs in `contents`.
pub(super) fn contains(contents: &[u8], needle: &[u8]) -> bool {
    needle.is_empty()
        || contents
            .windows(needle.len())
            .any(|window| window == needle)
}
