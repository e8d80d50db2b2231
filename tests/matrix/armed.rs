//! A proxy with a fault that waits for its message.

use std::sync::Arc;

use diesel_binds::testing::{Effect, FaultPlan, Moment, Point, Step};
use kit::proxy::{Fault, Proxy};

use crate::case::{Case, Trouble};
use crate::network::Message;

/// A proxy with the faults of a case.
pub(crate) struct Armed {
    pub(crate) proxy: Arc<Proxy>,
    /// The earlier fault of the case. If the decision is lost first, the plan also arms the proxy.
    pub(crate) plan: FaultPlan,
    /// The number of faults that fire.
    pub(crate) faults: usize,
}

impl Armed {
    /// Arms the proxy to this server. If the fault is at a question for the outcome, the decision is lost first.
    pub(crate) async fn new(case: &Case, message: Message, fault: Fault, url: &str) -> Self {
        let proxy = Arc::new(Proxy::start(url).await);
        let Some(decides) = case.loses_decision(message) else {
            proxy.inject(fault);
            return Self {
                proxy,
                plan: Trouble::plan(case.first.as_ref()),
                faults: 1,
            };
        };
        let asks = Point {
            step: Step::Resolve,
            bind: decides.bind.clone(),
            moment: Moment::Before,
        };
        let decision = Message::Decide.bytes(url.starts_with("mysql"));
        let plan = FaultPlan::new()
            .at_point(decides.clone(), inject(&proxy, Fault::before(decision)))
            .at_point(asks, inject(&proxy, fault));
        Self {
            proxy,
            plan,
            faults: 2,
        }
    }

    /// Returns whether all faults have fired.
    pub(crate) fn has_fired(&self) -> bool {
        !self.proxy.disarm() && self.proxy.fired() == self.faults
    }
}

fn inject(proxy: &Arc<Proxy>, fault: Fault) -> Effect {
    let proxy = Arc::clone(proxy);
    Effect::call(move |_| {
        proxy.inject(fault.clone());
        async {}
    })
}
