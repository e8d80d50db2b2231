//! The pages of the documentation, as `docs/` of the repository has them. They are compiled into the documentation only.
#![doc = ""]
#![doc = include_str!("guide/links.md")]
#![doc = ""]
#![doc = include_str!("../docs/README.md")]

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/tutorial.md")]
pub mod tutorial {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/sessions.md")]
pub mod sessions {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/units.md")]
pub mod units {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/services.md")]
pub mod services {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/managed.md")]
pub mod managed {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/migrations.md")]
pub mod migrations {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/existing-project.md")]
pub mod existing_project {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/observability.md")]
pub mod observability {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/command-line.md")]
pub mod command_line {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/queries.md")]
pub mod queries {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/options.md")]
pub mod options {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/connections.md")]
pub mod connections {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/compatibility.md")]
pub mod compatibility {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/commit.md")]
pub mod commit {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/recovery.md")]
pub mod recovery {}

#[doc = include_str!("guide/links.md")]
#[doc = ""]
#[doc = include_str!("../docs/verification.md")]
pub mod verification {}
