//! The branches in `XA RECOVER`: the truth about what a server of MySQL or MariaDB has prepared.
//!
//! Asked as text, for which diesel-async has no way to read rows: MySQL prepares no `XA` statement.

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Opts, OptsBuilder};

/// A branch in the list of its server.
pub(crate) struct Recovered {
    /// The global id.
    pub(crate) gtrid: String,
    /// The branch qualifier.
    pub(crate) bqual: String,
    /// The three parts as `XA COMMIT` takes them.
    pub(crate) name: String,
}

/// Returns all branches of the server whose names are texts. The account of the URL is the administrator.
pub(crate) async fn recovered(url: &str) -> Vec<Recovered> {
    let options = Opts::from_url(url).expect("the URL is valid");
    let options = OptsBuilder::from_opts(options).prefer_socket(false);
    let mut connection = Conn::new(options).await.expect("the server answers");
    let rows: Vec<(i64, usize, usize, Vec<u8>)> = connection
        .query("XA RECOVER")
        .await
        .expect("the administrator may list branches");
    connection
        .disconnect()
        .await
        .expect("the connection can be closed");
    let branches = rows.into_iter().filter_map(|(format, length, _, data)| {
        let data = String::from_utf8(data).ok()?;
        let (gtrid, bqual) = data.split_at_checked(length)?;
        Some(Recovered {
            gtrid: gtrid.to_owned(),
            bqual: bqual.to_owned(),
            name: format!("'{gtrid}','{bqual}',{format}"),
        })
    });
    branches.collect()
}
