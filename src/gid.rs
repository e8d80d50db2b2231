//! The names of units and their branches: their parts, and their text form.

mod clock;

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

pub(crate) use self::clock::UnitClock;

/// The longest bind key, in bytes.
///
/// A PostgreSQL gid holds a namespace, two keys, two ids, a number and separators in 199 bytes. A MySQL branch
/// qualifier holds a key in 64 bytes.
pub(crate) const MAX_KEY: usize = 40;

/// The longest namespace, in bytes: a MySQL global id holds a namespace, a separator and a unit in 64 bytes.
pub(crate) const MAX_NAMESPACE: usize = 31;

/// The longest gid that PostgreSQL accepts, in bytes.
#[cfg(test)]
const MAX_POSTGRES_GID: usize = 199;

/// The format id that marks our branches among all that `XA RECOVER` lists: `DB01` in ASCII.
#[cfg(feature = "mysql")]
pub(crate) const XA_FORMAT: u32 = 0x4442_3031;

const VERSION: &str = "db1";

/// Returns whether `text` may be a bind key or a namespace: `[a-z0-9_-]`, not empty, at most `max` bytes.
pub(crate) fn is_name(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// The id of one unit of work: unique, ordered by time, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnitId(Uuid);

impl UnitId {
    /// The id of no unit.
    pub(crate) const NONE: Self = Self(Uuid::nil());

    /// Creates an id that no unit has, and no other call returns.
    #[cfg(feature = "mysql")]
    pub(crate) fn of_no_unit() -> Self {
        Self(Uuid::new_v4())
    }

    /// Returns the time at which the unit began, in milliseconds since 1970.
    fn milliseconds(self) -> i64 {
        let first = self.0.as_u128() >> 80;
        i64::try_from(first).unwrap_or(i64::MAX)
    }

    /// Returns an id before those of all units that begin at `time` or later. `None` if `time` is before 1970 or too
    /// large.
    pub(crate) fn before_all_since(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        let milliseconds = u64::try_from(since.as_millis()).ok()?;
        let earliest = uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]);
        Some(Self(earliest.into_uuid()))
    }

    /// Appends the id to a text, as `Display` writes it.
    pub(crate) fn push_to(&self, text: &mut String) {
        text.push_str(self.0.simple().encode_lower(&mut [0; 32]));
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for UnitId {
    type Err = InvalidGid;

    fn from_str(text: &str) -> Result<Self, InvalidGid> {
        parse_id(text).map(Self)
    }
}

/// Parses an id in the form that this library writes. To a server, another form of the number is another name.
fn parse_id(text: &str) -> Result<Uuid, InvalidGid> {
    match Uuid::try_parse(text) {
        Ok(id) if id.simple().encode_lower(&mut [0; 32]) == text => Ok(id),
        _ => Err(InvalidGid(text.into())),
    }
}

/// The identity of one database that can hold decisions: the random id in its `diesel_binds_meta`.
///
/// A holder's *key* finds the database again; the id proves that it is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseId(Uuid);

impl DatabaseId {
    pub(crate) fn generate() -> Self {
        Self(Uuid::new_v4())
    }

    /// Appends the id to a text, as `Display` writes it.
    pub(crate) fn push_to(&self, text: &mut String) {
        text.push_str(self.0.simple().encode_lower(&mut [0; 32]));
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for DatabaseId {
    type Err = InvalidGid;

    fn from_str(text: &str) -> Result<Self, InvalidGid> {
        parse_id(text).map(Self)
    }
}

/// The error for a text that is not the name of a unit of this library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a unit of diesel-binds")]
pub struct InvalidGid(String);

/// The global transaction id of a unit over several databases, which is enough to ask for its outcome.
///
/// The id names the application (its namespace), the unit, and the *holder*: the bind whose database keeps the
/// decision. It is written as `db1:<namespace>:<unit>:<holder>:<holder id>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gid {
    pub(crate) namespace: String,
    pub(crate) unit: UnitId,
    pub(crate) holder: String,
    pub(crate) holder_id: DatabaseId,
}

impl Gid {
    /// Returns the namespace of the application that the unit belongs to.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the id of the unit.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// Returns the key of the bind whose database keeps the decision.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Returns the branch of this unit on `bind`, as one of at most `parts` branches.
    pub(crate) fn branch(&self, bind: &str, parts: u16) -> Branch {
        Branch {
            gid: self.clone(),
            bind: bind.into(),
            parts,
        }
    }
}

impl Gid {
    /// Appends the id to a text, as `Display` writes it.
    fn push_to(&self, text: &mut String) {
        for part in [VERSION, ":", &self.namespace, ":"] {
            text.push_str(part);
        }
        self.unit.push_to(text);
        for part in [":", &self.holder, ":"] {
            text.push_str(part);
        }
        self.holder_id.push_to(text);
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Gid {
    type Err = InvalidGid;

    fn from_str(text: &str) -> Result<Self, InvalidGid> {
        let invalid = || InvalidGid(text.into());
        let mut parts = text.split(':');
        let mut part = || parts.next().ok_or_else(invalid);
        if part()? != VERSION {
            return Err(invalid());
        }
        let namespace = part()?.to_owned();
        let unit = part()?.parse().map_err(|_| invalid())?;
        let holder = part()?.to_owned();
        let holder_id = part()?.parse().map_err(|_| invalid())?;
        if parts.next().is_some()
            || !is_name(&namespace, MAX_NAMESPACE)
            || !is_name(&holder, MAX_KEY)
        {
            return Err(invalid());
        }
        Ok(Self {
            namespace,
            unit,
            holder,
            holder_id,
        })
    }
}

/// The part of a unit that one prepared participant keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    pub(crate) gid: Gid,
    pub(crate) bind: String,
    /// The largest possible number of branches of the unit, at the time when this one was prepared. It counts all binds
    /// that wrote, and those that were still being asked whether they did, without the holder.
    pub(crate) parts: u16,
}

impl Branch {
    /// Appends the gid of the prepared transaction on PostgreSQL to a text, as `Display` writes it.
    pub(crate) fn push_to(&self, text: &mut String) {
        self.gid.push_to(text);
        for part in [":", &self.bind, ":"] {
            text.push_str(part);
        }
        let written = fmt::Write::write_fmt(text, format_args!("{}", self.parts));
        written.expect("a text takes whatever is written");
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl FromStr for Branch {
    type Err = InvalidGid;

    fn from_str(text: &str) -> Result<Self, InvalidGid> {
        let invalid = || InvalidGid(text.into());
        let (branch, parts) = text.rsplit_once(':').ok_or_else(invalid)?;
        let (gid, bind) = branch.rsplit_once(':').ok_or_else(invalid)?;
        let branch = Self {
            gid: gid.parse().map_err(|_| invalid())?,
            bind: bind.into(),
            parts: parts.parse().map_err(|_| invalid())?,
        };
        // To a server, `+2` and `02` are other names.
        if is_name(bind, MAX_KEY) && branch.parts > 0 && branch.to_string() == text {
            Ok(branch)
        } else {
            Err(invalid())
        }
    }
}

/// The name of a branch on MySQL and MariaDB. It is fixed when the branch starts, before the holder is chosen.
#[cfg(feature = "mysql")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Xid {
    pub(crate) namespace: String,
    pub(crate) unit: UnitId,
    pub(crate) bind: String,
}

#[cfg(feature = "mysql")]
impl Xid {
    /// Parses the names of a branch, if they are in the form that this library writes. Any client that may prepare a
    /// branch on the server can choose other names.
    pub(crate) fn of_names(gtrid: &str, bqual: &str) -> Option<Self> {
        let (namespace, unit) = gtrid.split_once(':')?;
        if !is_name(namespace, MAX_NAMESPACE) || !is_name(bqual, MAX_KEY) {
            return None;
        }
        Some(Self {
            namespace: namespace.to_owned(),
            unit: unit.parse().ok()?,
            bind: bqual.to_owned(),
        })
    }

    /// Appends the name for the `XA` statements to a text, as `Display` writes it. Names contain no quote, so nothing
    /// needs escaping.
    pub(crate) fn push_to(&self, text: &mut String) {
        for part in ["'", &self.namespace, ":"] {
            text.push_str(part);
        }
        self.unit.push_to(text);
        for part in ["','", &self.bind, "',", &XA_FORMAT.to_string()] {
            text.push_str(part);
        }
    }
}

#[cfg(feature = "mysql")]
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn longest() -> Branch {
        Gid {
            namespace: "n".repeat(MAX_NAMESPACE),
            unit: UnitClock::new(Duration::MAX).generate(),
            holder: "h".repeat(MAX_KEY),
            holder_id: DatabaseId::generate(),
        }
        .branch(&"b".repeat(MAX_KEY), u16::MAX)
    }

    #[test]
    fn the_longest_branch_fits_every_backend() {
        let branch = longest();
        assert!(branch.to_string().len() <= MAX_POSTGRES_GID);
        let gtrid = format!("{}:{}", branch.gid.namespace, branch.gid.unit);
        assert!(gtrid.len() <= 64 && branch.bind.len() <= 64);
    }

    #[test]
    fn a_written_gid_is_read_back() {
        let branch = longest();
        assert_eq!(branch.to_string().parse(), Ok(branch.clone()));
        assert_eq!(branch.gid.to_string().parse(), Ok(branch.gid));
    }

    #[test]
    fn units_are_ordered_by_the_time_at_which_they_begin() {
        let before = UnitId::before_all_since(SystemTime::now()).unwrap();
        let clock = UnitClock::new(Duration::MAX);
        let units = [clock.generate(), clock.generate()];
        assert!(before < units[0] && units[0] < units[1]);
        assert!(before.to_string() < units[0].to_string(), "as text, too");
        let later = SystemTime::now() + Duration::from_millis(2);
        assert!(UnitId::before_all_since(later).unwrap() > units[1]);
        assert_eq!(
            UnitId::before_all_since(UNIX_EPOCH - Duration::from_secs(1)),
            None
        );
    }

    #[test]
    fn another_writing_of_a_name_is_another_name() {
        let branch = longest();
        let (gid, id) = (branch.gid.to_string(), branch.gid.holder_id.to_string());
        let hyphenated = branch.gid.holder_id.0.hyphenated().to_string();
        for parts in ["0", "02", "+2", " 2", "2 ", "65536", ""] {
            let text = format!("{gid}:b:{parts}");
            assert!(text.parse::<Branch>().is_err(), "{text}");
        }
        for other in [hyphenated, id.to_uppercase(), format!("{{{id}}}")] {
            assert!(other.parse::<DatabaseId>().is_err(), "{other}");
            assert!(other.parse::<UnitId>().is_err(), "{other}");
            assert!(gid.replace(&id, &other).parse::<Gid>().is_err(), "{other}");
        }
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn a_name_that_needs_quotes_is_none_of_ours() {
        let unit = longest().gid.unit;
        assert!(Xid::of_names(&format!("shop:{unit}"), "ledger").is_some());
        for (gtrid, bqual) in [
            (format!("shop:{unit}"), "it's"),
            (format!("shop:{unit}"), "' UNION SELECT 1 #"),
            (format!("shop:{unit}"), ""),
            (format!("sh'op:{unit}"), "ledger"),
            (format!("shop:{}", unit.0.hyphenated()), "ledger"),
            (format!("shop{unit}"), "ledger"),
        ] {
            assert!(Xid::of_names(&gtrid, bqual).is_none(), "{gtrid} {bqual}");
        }
    }

    #[test]
    fn foreign_names_are_not_ours() {
        let own = longest().gid.to_string();
        for foreign in [
            "",
            "db1",
            "a:b:c:d:e",
            &own.replacen("db1", "db2", 1),
            &format!("{own}:b:c"),
            &own.replace(':', ";"),
            &own.to_uppercase(),
        ] {
            assert!(foreign.parse::<Gid>().is_err(), "{foreign}");
        }
    }
}
