//! The phases of a unit in which a proxy can lose a message.

/// A phase of a unit, known by bytes in the message that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Begin,
    Statement,
    Identify,
    Prepare,
    Decide,
    Finish,
}

impl Phase {
    pub const ALL: [Self; 6] = [
        Self::Begin,
        Self::Statement,
        Self::Identify,
        Self::Prepare,
        Self::Decide,
        Self::Finish,
    ];

    pub fn bytes(self, mysql: bool) -> &'static str {
        match (self, mysql) {
            (Self::Begin, false) => "BEGIN",
            (Self::Begin, true) => "START ",
            (Self::Statement, _) => "notes",
            (Self::Identify, _) => "SELECT holder_id, version",
            (Self::Prepare, false) => "PREPARE TRANSACTION",
            (Self::Prepare, true) => "XA PREPARE",
            // Other messages name the table as well.
            (Self::Decide, _) => "'commit'",
            (Self::Finish, false) => "COMMIT PREPARED",
            (Self::Finish, true) => "XA COMMIT",
        }
    }
}
