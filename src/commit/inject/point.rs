//! The names of the points of a commit at which a fault can be injected.

use std::fmt;
use std::str::FromStr;

use crate::commit::protocol::Step;

/// A point of a commit: a step, the bind, and the moment. Written as `prepare:accounts:after`.
///
/// Names are stable: a name in a test keeps its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// The step.
    pub step: Step,
    /// The key of the bind. In a plan, `None` is the first bind that reaches the step: `decide:before`.
    pub bind: Option<String>,
    /// The moment within the step.
    pub moment: Moment,
}

/// The moment of a fault within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// `before`: nothing of the step was sent.
    Before,
    /// `sent`: the step was sent, and its reply not read. The server may have executed it or not, as after a real loss.
    Sent,
    /// `after`: the reply was read, and no later step was sent.
    After,
}

/// The error for a text that names no point of a commit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the name of a point of a commit, like `prepare:accounts:after` or `decide:before`"
)]
pub struct InvalidPoint(String);

impl Point {
    /// Creates the point of this step on this bind.
    #[must_use]
    pub fn new(step: Step, bind: impl Into<String>, moment: Moment) -> Self {
        Self {
            step,
            bind: Some(bind.into()),
            moment,
        }
    }

    /// Returns whether this point of a plan covers the point `passed`.
    pub(super) fn means(&self, passed: &Self) -> bool {
        self.step == passed.step
            && self.moment == passed.moment
            && (self.bind.is_none() || self.bind == passed.bind)
    }
}

impl Step {
    const ALL: [Self; 10] = [
        Self::Ask,
        Self::Identify,
        Self::Prepare,
        Self::Decide,
        Self::Apply,
        Self::End,
        Self::Commit,
        Self::RollBack,
        Self::Resolve,
        Self::Undo,
    ];
}

impl Moment {
    const ALL: [Self; 3] = [Self::Before, Self::Sent, Self::After];

    fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Sent => "sent",
            Self::After => "after",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, bind, moment } = self;
        match bind {
            Some(bind) => write!(f, "{step}:{bind}:{moment}"),
            None => write!(f, "{step}:{moment}"),
        }
    }
}

impl FromStr for Point {
    type Err = InvalidPoint;

    fn from_str(text: &str) -> Result<Self, InvalidPoint> {
        let parts: Vec<&str> = text.split(':').collect();
        let (step, bind, moment) = match parts.as_slice() {
            [step, bind, moment] if !bind.is_empty() => (*step, Some((*bind).into()), *moment),
            [step, moment] => (*step, None, *moment),
            _ => return Err(InvalidPoint(text.into())),
        };
        let step = Step::ALL.into_iter().find(|known| known.name() == step);
        let moment = Moment::ALL.into_iter().find(|known| known.name() == moment);
        match (step, moment) {
            (Some(step), Some(moment)) => Ok(Self { step, bind, moment }),
            _ => Err(InvalidPoint(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_reads_back_as_it_is_written() {
        for step in Step::ALL {
            for moment in Moment::ALL {
                for bind in [None, Some("my-bind".to_owned())] {
                    let point = Point { step, bind, moment };
                    assert_eq!(point.to_string().parse(), Ok(point));
                }
            }
        }
        for wrong in [
            "",
            "prepare",
            "prepare:a",
            "prepare::after",
            "x:a:after",
            "prepare:a:after:b",
        ] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_point_without_a_bind_means_any_bind() {
        let passed = Point::new(Step::Decide, "ledger", Moment::Before);
        let means = |text: &str| text.parse::<Point>().unwrap().means(&passed);
        assert!(means("decide:before") && means("decide:ledger:before"));
        assert!(
            !means("decide:after") && !means("decide:accounts:before") && !means("apply:before")
        );
    }
}
