//! The sets of servers that start and stop together.

use std::fmt;

use clap::ValueEnum;

use crate::servers::Server;
use crate::servers::package::{self, Package};

/// The servers of one task. Those of [`Later`](Self::Later) have the names of the installed ones, so that the same tests
/// run against both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Set {
    /// The servers of the tests, from the programs of this machine
    #[default]
    Installed,
    /// The servers of the tests, from packages of a later release of Debian
    Later,
    /// MySQL, of a later release of Debian
    Mysql,
    /// A Galera cluster of two nodes, of a later release of Debian
    Galera,
}

impl Set {
    /// The environment variable that chooses the set of the tests and of the servers that they kill.
    pub(crate) const VARIABLE: &str = "DIESEL_BINDS_TEST_SET";

    pub(crate) const ALL: [Self; 4] = [Self::Installed, Self::Later, Self::Mysql, Self::Galera];

    /// Returns the name on the command line, and of the folder of the state.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Later => "later",
            Self::Mysql => "mysql",
            Self::Galera => "galera",
        }
    }

    /// Returns the servers, each after the one that it is in front of.
    pub(crate) fn servers(self) -> &'static [Server] {
        match self {
            Self::Installed | Self::Later => &[
                Server::PostgresA,
                Server::PostgresB,
                Server::PostgresPlain,
                Server::MariadbA,
                Server::MariadbB,
                Server::Pgbouncer,
            ],
            Self::Mysql => &[Server::MysqlA, Server::MysqlB],
            Self::Galera => &[Server::GaleraA, Server::GaleraB],
        }
    }

    /// Returns the packages with the programs. The programs of [`Installed`](Self::Installed) are on the machine.
    pub(crate) fn packages(self) -> &'static [&'static Package] {
        match self {
            Self::Installed => &[],
            Self::Later => &[&package::POSTGRES, &package::MARIADB, &package::PGBOUNCER],
            Self::Mysql => &[&package::MYSQL],
            Self::Galera => &[&package::MARIADB],
        }
    }

    /// Returns the name of the folder of a server.
    pub(crate) fn folder(self, server: Server) -> String {
        match self {
            Self::Later => format!("{self}-{server}"),
            Self::Installed | Self::Mysql | Self::Galera => server.name().to_owned(),
        }
    }

    /// Returns the set with a server of this name: the chosen one if it has one.
    pub(crate) fn with(self, server: Server) -> Self {
        let others = Self::ALL
            .into_iter()
            .find(|set| set.servers().contains(&server));
        if self.servers().contains(&server) {
            self
        } else {
            others.expect("every server is in a set")
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_server_is_in_a_set_after_the_one_behind_it() {
        for server in Server::value_variants() {
            let set = Set::default().with(*server);
            let position = |wanted| set.servers().iter().position(|server| *server == wanted);
            let behind = server.upstream().map(|server| position(server).unwrap());
            assert!(behind < position(*server), "{server} of {set}");
        }
    }

    #[test]
    fn only_the_later_set_repeats_names_of_installed_servers() {
        let others = Set::ALL.into_iter().filter(|set| *set != Set::Later);
        let names: Vec<_> = others.flat_map(Set::servers).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(Set::Later.servers(), Set::Installed.servers());
    }

    #[test]
    fn a_server_of_several_sets_is_of_the_chosen_one() {
        assert_eq!(Set::Later.with(Server::MariadbA), Set::Later);
        assert_eq!(Set::Installed.with(Server::MariadbA), Set::Installed);
        assert_eq!(Set::Later.with(Server::MysqlA), Set::Mysql);
    }
}
