//! Names of units and their branches: what they are made of, how they are written, how they are read back.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Longest bind key, in bytes.
///
/// A PostgreSQL gid holds a namespace, two targets, two ids and separators in 199 bytes, and a MySQL branch
/// qualifier holds a target in 64.
pub(crate) const MAX_KEY: usize = 40;

/// Longest namespace, in bytes: a MySQL global id holds a namespace, a separator and a unit in 64 bytes.
pub(crate) const MAX_NAMESPACE: usize = 31;

/// PostgreSQL takes gids of up to 199 bytes.
#[cfg(test)]
const MAX_POSTGRES_GID: usize = 199;

/// Marks our branches among all that `XA RECOVER` lists: `DB01` in ASCII.
#[cfg(feature = "mysql")]
pub(crate) const XA_FORMAT: u32 = 0x4442_3031;

const VERSION: &str = "db1";

/// Whether `text` may be a bind key or a namespace: `[a-z0-9_-]`, not empty, at most `max` bytes.
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
    pub(crate) fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Before all units that begin at a time or later. `None` where no clock can be.
    pub(crate) fn before_all_since(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        let milliseconds = u64::try_from(since.as_millis()).ok()?;
        let earliest = uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]);
        Some(Self(earliest.into_uuid()))
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
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidGid(text.into()))
    }
}

/// The identity of one database that can hold decisions: the random id in its `diesel_binds_meta`.
///
/// A holder's *key* finds the database again; the id proves that it is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseId(Uuid);

#[cfg(test)]
impl DatabaseId {
    pub(crate) fn generate() -> Self {
        Self(Uuid::new_v4())
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
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| InvalidGid(text.into()))
    }
}

/// A text that is not the name of a unit of this library.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of a unit of diesel-binds")]
pub struct InvalidGid(String);

/// The global transaction id of a unit over several databases: all that it takes to ask how it ended.
///
/// It names the application (its namespace), the unit, and the *holder*: the bind whose database keeps the decision.
/// Written as `db1:<namespace>:<unit>:<holder>:<holder id>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gid {
    pub(crate) namespace: String,
    pub(crate) unit: UnitId,
    pub(crate) holder: String,
    pub(crate) holder_id: DatabaseId,
}

impl Gid {
    /// The application that the unit belongs to.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The unit.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// The key of the bind whose database keeps the decision.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The branch of this unit on `bind`.
    pub(crate) fn branch(&self, bind: &str) -> Branch {
        Branch {
            gid: self.clone(),
            bind: bind.into(),
        }
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            unit,
            holder,
            holder_id,
        } = self;
        write!(f, "{VERSION}:{namespace}:{unit}:{holder}:{holder_id}")
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
}

impl fmt::Display for Branch {
    /// The gid of a prepared transaction on PostgreSQL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.gid, self.bind)
    }
}

impl FromStr for Branch {
    type Err = InvalidGid;

    fn from_str(text: &str) -> Result<Self, InvalidGid> {
        let (gid, bind) = text
            .rsplit_once(':')
            .ok_or_else(|| InvalidGid(text.into()))?;
        if !is_name(bind, MAX_KEY) {
            return Err(InvalidGid(text.into()));
        }
        Ok(Self {
            gid: gid.parse()?,
            bind: bind.into(),
        })
    }
}

/// The name of a branch on MySQL and MariaDB, fixed when it starts: before anybody knows who will hold the decision.
#[cfg(feature = "mysql")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Xid {
    pub(crate) namespace: String,
    pub(crate) unit: UnitId,
    pub(crate) bind: String,
}

#[cfg(feature = "mysql")]
impl fmt::Display for Xid {
    /// As the `XA` statements take it. Names hold no quote, so nothing needs escaping.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            unit,
            bind,
        } = self;
        write!(f, "'{namespace}:{unit}','{bind}',{XA_FORMAT}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest() -> Branch {
        Gid {
            namespace: "n".repeat(MAX_NAMESPACE),
            unit: UnitId::generate(),
            holder: "h".repeat(MAX_KEY),
            holder_id: DatabaseId::generate(),
        }
        .branch(&"b".repeat(MAX_KEY))
    }

    #[test]
    fn the_longest_branch_fits_every_backend() {
        let branch = longest();
        assert!(branch.to_string().len() <= MAX_POSTGRES_GID);
        let gtrid = format!("{}:{}", branch.gid.namespace, branch.gid.unit);
        assert!(gtrid.len() <= 64 && branch.bind.len() <= 64);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let branch = longest();
        assert_eq!(branch.to_string().parse(), Ok(branch.clone()));
        assert_eq!(branch.gid.to_string().parse(), Ok(branch.gid));
    }

    #[test]
    fn units_are_ordered_by_the_time_at_which_they_begin() {
        let before = UnitId::before_all_since(SystemTime::now()).unwrap();
        let units = [UnitId::generate(), UnitId::generate()];
        assert!(before < units[0] && units[0] < units[1]);
        assert!(before.to_string() < units[0].to_string(), "as text, too");
        let later = SystemTime::now() + std::time::Duration::from_millis(2);
        assert!(UnitId::before_all_since(later).unwrap() > units[1]);
        assert_eq!(
            UnitId::before_all_since(UNIX_EPOCH - std::time::Duration::from_secs(1)),
            None
        );
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
