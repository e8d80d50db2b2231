//! The service: moves money in one unit for each request.

use std::env;
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use diesel_binds::error::PoolError;
use diesel_binds::units::Retried;
use diesel_binds::web::BindsLayer;
use diesel_binds::{Binds, CommitError, Error, Retry, Scope, SessionOptions};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use crate::bank::{self, KEYS, Leg, MAX_SIZE};

/// The variable for the URLs of the databases. It makes this program the service.
pub(crate) const URLS: &str = "DIESEL_BINDS_DAY_URLS";

/// The header of an answer with the kind of the error, and that with its bind.
pub(crate) const KIND: &str = "x-kind";
pub(crate) const BIND: &str = "x-bind";

/// The longest time that a request takes, but for its commit.
const DEADLINE: Duration = Duration::from_secs(8);

/// A request to move money.
#[derive(Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) unit: String,
    pub(crate) legs: Vec<Leg>,
    /// The request is refused at its end.
    pub(crate) fails: bool,
}

/// Why a request was not done.
enum Refusal {
    OnPurpose,
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = match self {
            Self::OnPurpose => return StatusCode::UNPROCESSABLE_ENTITY.into_response(),
            Self::Failed(error) => error,
        };
        let headers = [
            (HeaderName::from_static(KIND), kind(&error)),
            (
                HeaderName::from_static(BIND),
                error.bind().unwrap_or_default().to_owned(),
            ),
        ];
        let text = format!("{error:?}");
        let in_doubt = error.is_in_doubt();
        let status = error.into_response().status();
        assert_eq!(in_doubt, status == StatusCode::GATEWAY_TIMEOUT);
        (status, headers, text).into_response()
    }
}

/// Returns the kind of an error, as the table of a run has it.
fn kind(error: &Error) -> String {
    let text = format!("{error:?}");
    let cause = cause(&text);
    match error {
        Error::Retried { source, .. } => kind(source),
        Error::Query { .. } => format!("query: {cause}"),
        Error::Begin { .. } => format!("begin: {cause}"),
        Error::StaleConnection { .. } => format!("stale connection: {cause}"),
        Error::Pool {
            source: PoolError::TimedOut(_),
            ..
        } => "pool: timed out".to_owned(),
        Error::Pool { .. } => format!("pool: {cause}"),
        Error::DeadlineExceeded { .. } => "deadline".to_owned(),
        Error::AbortOnly { .. } => "abort-only".to_owned(),
        Error::Commit(CommitError::RolledBack { .. }) => format!("commit rolled back: {cause}"),
        Error::Commit(CommitError::InDoubt { .. }) => "commit in doubt".to_owned(),
        Error::Commit(CommitError::Unknown { .. }) => "commit unknown".to_owned(),
        Error::Commit(CommitError::TransactionEnded { .. }) => {
            "commit: transaction ended".to_owned()
        }
        other => format!("UNEXPECTED {other:?}").replace('\n', " "),
    }
}

/// The causes, by a part of the text of an error.
const CAUSES: [(&str, &str); 23] = [
    (
        "certificate of the server was refused",
        "certificate refused",
    ),
    ("read-only", "read-only"),
    ("database is locked", "file locked"),
    ("Deadlock found", "conflict"),
    ("deadlock detected", "conflict"),
    ("Lock wait timeout", "lock timeout"),
    ("canceling statement due to lock timeout", "lock timeout"),
    ("terminating connection", "session ended"),
    ("onnection was killed", "session ended"),
    ("the database system is", "server starts or stops"),
    ("shutdown in progress", "server starts or stops"),
    ("onnection refused", "connection refused"),
    ("onnection reset", "connection lost"),
    ("roken pipe", "connection lost"),
    ("onnection closed", "connection lost"),
    ("onnection was closed", "connection lost"),
    ("onnection is closed", "connection lost"),
    ("unexpected end of file", "connection lost"),
    ("handshake eof", "connection lost"),
    ("peer closed connection", "connection lost"),
    ("timed out", "timed out"),
    ("within the time", "timed out"),
    ("in time", "timed out"),
];

fn cause(text: &str) -> String {
    let known = CAUSES.iter().find(|(part, _)| text.contains(part));
    match known {
        Some((_, cause)) => (*cause).to_owned(),
        None => format!("UNEXPECTED {}", text.replace('\n', " ")),
    }
}

/// The unit is committed by the layer.
async fn by_layer(scope: Scope, Json(request): Json<Move>) -> Result<StatusCode, Refusal> {
    let session = scope.lock()?;
    for leg in &request.legs {
        leg.run(&session, &request.unit).await?;
    }
    match request.fails {
        true => Err(Refusal::OnPurpose),
        false => Ok(StatusCode::CREATED),
    }
}

/// The unit is committed by the handler.
async fn by_handler(
    State(binds): State<Binds>,
    Json(request): Json<Move>,
) -> Result<StatusCode, Refusal> {
    let options = SessionOptions::new().deadline(DEADLINE);
    let mut session = binds.with(options).session();
    for leg in &request.legs {
        leg.run(&session, &request.unit).await?;
    }
    if request.fails {
        return Err(Refusal::OnPurpose);
    }
    session.commit_all().await.map_err(Error::from)?;
    Ok(StatusCode::CREATED)
}

/// The unit is run again after a conflict.
async fn by_retries(
    State(binds): State<Binds>,
    Json(request): Json<Move>,
) -> Result<StatusCode, Refusal> {
    let options = SessionOptions::new().deadline(DEADLINE);
    let units = binds.with(options).retrying(Retry::new());
    let done = units.transaction::<(), Refusal, _>(async |session| {
        for leg in &request.legs {
            leg.run(session, &request.unit).await?;
        }
        match request.fails {
            true => Err(Refusal::OnPurpose),
            false => Ok(()),
        }
    });
    done.await.map_err(Retried::into_error)?;
    Ok(StatusCode::CREATED)
}

/// Reads one bank.
async fn read(State(binds): State<Binds>, Path(bank): Path<usize>) -> Result<String, Refusal> {
    let options = SessionOptions::new().deadline(DEADLINE).read_only();
    let mut session = binds.with(options).session();
    let opening = bank::opening(&session, bank).await?;
    session.commit_all().await.map_err(Error::from)?;
    Ok(opening)
}

/// Holds all connections of a pool for a while. Returns the number.
async fn hold(
    State(binds): State<Binds>,
    Path((bank, milliseconds)): Path<(usize, u64)>,
) -> String {
    let options = SessionOptions::new().read_only();
    let mut sessions: Vec<_> = (0..MAX_SIZE)
        .map(|_| binds.with(options.clone()).session())
        .collect();
    let taken = join_all(sessions.iter_mut().map(async |session| {
        // The requests that run now have some of the connections. A unit that got none can only be rolled back.
        for _ in 0..10 {
            if bank::opening(session, bank).await.is_ok() {
                return true;
            }
            let _ = session.rollback_all().await;
        }
        false
    }));
    let taken = taken.await.iter().filter(|taken| **taken).count();
    sleep(Duration::from_millis(milliseconds)).await;
    taken.to_string()
}

/// Serves until the standard input ends.
pub(crate) async fn serve(urls: &[String]) {
    let binds = bank::binds(urls);
    let layer = BindsLayer::new(binds.clone())
        .options(SessionOptions::new().deadline(DEADLINE))
        .commit_on_success();
    let router = Router::new()
        .route("/layer", post(by_layer).layer(layer))
        .route("/handler", post(by_handler))
        .route("/retries", post(by_retries))
        .route("/banks/{bank}", get(read))
        .route("/hold/{bank}/{milliseconds}", post(hold))
        .with_state(binds.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("it is bound"));
    let ended = tokio::task::spawn_blocking(|| {
        // An error is an end as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    });
    let ended = async { drop(ended.await) };
    axum::serve(listener, router)
        .with_graceful_shutdown(ended)
        .await
        .expect("the service runs");
    binds.close().await;
}

/// The process of the service.
pub(crate) struct Service {
    pub(crate) address: String,
    input: Option<ChildStdin>,
    child: Child,
}

impl Service {
    pub(crate) async fn start(urls: &[String]) -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .env(URLS, urls.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program can be started again");
        let output = child.stdout.take().expect("its output is piped");
        let line = BufReader::new(output).lines().next_line().await;
        let address = line.expect("the service prints its address");
        Self {
            address: format!("http://{}", address.expect("the service starts")),
            input: child.stdin.take(),
            child,
        }
    }

    /// Returns whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("the service can be killed");
    }

    /// Ends the service in order. Returns whether it ended, and well.
    pub(crate) async fn end(mut self) -> bool {
        drop(self.input.take());
        let ended = timeout(Duration::from_secs(60), self.child.wait()).await;
        ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
    }
}

/// Returns the name of the bank of a bind.
pub(crate) fn is_bank(key: &str) -> bool {
    KEYS.contains(&key)
}
