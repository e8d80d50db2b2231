//! Messages to servers, written part by part.
//!
//! Every value in the SQL text is a key, a namespace or an id, made of `[a-z0-9_-]`, so nothing needs escaping.

#[cfg(feature = "postgres")]
use crate::gid::Branch;
#[cfg(feature = "mysql")]
use crate::gid::Xid;
use crate::gid::{DatabaseId, UnitId};

/// Writes the parts of a message, usually without a reallocation. With a text before a semicolon, appends to that.
macro_rules! sql {
    { $message:expr; $($part:expr),+ $(,)? } => {
        $($crate::backend::message::Part::append_to(&$part, $message);)+
    };
    { $($part:expr),+ $(,)? } => {{
        // Most messages are shorter.
        let mut message = String::with_capacity(1024);
        $crate::backend::message::sql! { &mut message; $($part),+ }
        message
    }};
}

/// Implements `Display` for parts, for the messages that are not written on the path of a commit.
macro_rules! display_parts {
    ($($part:ty),+) => {
        $(impl std::fmt::Display for $part {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::backend::message::sql! { *self })
            }
        })+
    };
}

/// A part of a message. It appends itself without a formatter: the commit of two writers has more than a hundred parts.
pub(super) trait Part {
    fn append_to(&self, message: &mut String);
}

impl Part for str {
    fn append_to(&self, message: &mut String) {
        message.push_str(self);
    }
}

impl Part for String {
    fn append_to(&self, message: &mut String) {
        message.push_str(self);
    }
}

impl<P: Part + ?Sized> Part for &P {
    fn append_to(&self, message: &mut String) {
        (**self).append_to(message);
    }
}

impl Part for UnitId {
    fn append_to(&self, message: &mut String) {
        self.push_to(message);
    }
}

#[cfg(feature = "postgres")]
impl Part for Branch {
    fn append_to(&self, message: &mut String) {
        self.push_to(message);
    }
}

#[cfg(feature = "mysql")]
impl Part for Xid {
    fn append_to(&self, message: &mut String) {
        self.push_to(message);
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Part for i64 {
    fn append_to(&self, message: &mut String) {
        let written = std::fmt::Write::write_fmt(message, format_args!("{self}"));
        written.expect("a text takes whatever is written");
    }
}

impl Part for DatabaseId {
    fn append_to(&self, message: &mut String) {
        self.push_to(message);
    }
}

pub(super) use {display_parts, sql};
