//! What is answered at each address, from one configuration to the next.
//!
//! An address has fewer routes before the new plan is published and more routes only after it: what opens with a token
//! is never open without it.

use std::sync::Arc;

use crate::config::Listener;
use crate::model::plan::Plan;
use crate::model::route::RouteSet;
use crate::server::ListenerRoutes;
use crate::store::Board;

/// The routes of every address.
#[derive(Debug)]
pub(super) struct AnsweredRoutes {
    routes: Vec<ListenerRoutes>,
    board: Board,
    /// What is answered once that plan is published.
    coming: Option<(Arc<Plan>, Vec<RouteSet>)>,
    /// What the log last said of each.
    told: Vec<RouteSet>,
    /// The addresses are those for want of a configuration.
    is_by_default: bool,
}

impl AnsweredRoutes {
    /// These, as they are; plans are published on `board`.
    pub(super) fn new(routes: Vec<ListenerRoutes>, board: Board, is_by_default: bool) -> Self {
        let told = routes.iter().map(ListenerRoutes::get).collect();
        Self { routes, board, coming: None, told, is_by_default }
    }

    /// At each address answers what `listen` says once `plan` is published, and until then no more than that. An
    /// address that was listened on for want of a configuration, and which the first one does not name, tells no more
    /// than verdicts.
    pub(super) fn change(&mut self, listen: &[Listener], plan: &Arc<Plan>) {
        let is_by_default = std::mem::take(&mut self.is_by_default);
        let wanted = self.wanted();
        let mut coming = Vec::with_capacity(self.routes.len());
        for (routes, before) in self.routes.iter().zip(wanted) {
            let next = match listen.iter().find(|listener| listener.address == routes.address) {
                Some(listener) => listener.routes,
                None if is_by_default => {
                    tracing::warn!(
                        address = %routes.address,
                        "server.listen names other addresses: that needs a restart, until then this one has `routes: probes`"
                    );
                    RouteSet::Probes
                }
                None => before,
            };
            routes.set(routes.get().min(next));
            coming.push(next);
        }
        self.coming = Some((Arc::clone(plan), coming));
        self.open();
    }

    /// Opens what is to be opened, each time a plan is published that was waited for.
    pub(super) async fn follow(&mut self) {
        // Nothing is waited for nearly always: then no publication wakes anybody.
        while self.coming.is_some() && self.board.next().await.is_some() {
            self.open();
        }
        std::future::pending::<()>().await;
    }

    fn open(&mut self) {
        let published = &self.board.latest().plan;
        // One that says the same as the one before is not published.
        if let Some((_, coming)) = self.coming.take_if(|(plan, _)| plan == published) {
            for ((routes, next), told) in self.routes.iter().zip(coming).zip(&mut self.told) {
                routes.set(next);
                if std::mem::replace(told, next) != next {
                    tracing::info!(address = %routes.address, routes = next.label(), "the address answers other routes");
                }
            }
        }
    }

    /// What is to be answered in the end.
    fn wanted(&self) -> Vec<RouteSet> {
        match &self.coming {
            Some((_, coming)) => coming.clone(),
            None => self.routes.iter().map(ListenerRoutes::get).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::token::Token;
    use crate::config::Listen;
    use crate::metrics::testing::snapshot;
    use crate::model::snapshot::Snapshot;
    use crate::server::bind;
    use crate::store::board;

    #[test]
    fn an_address_is_opened_once_the_token_is_in_force_and_closed_at_once() {
        let first = snapshot(vec![]);
        let (mut recorder, board) = board(first.clone());
        let address = Listen::One("127.0.0.1:0".parse().unwrap());
        let listener = |routes| Listener { address, routes };
        let bound = bind(&[listener(RouteSet::Probes)]).unwrap();
        let at = bound[0].routes.clone();
        let mut routes = AnsweredRoutes::new(vec![at.clone()], board, false);
        let mut plan = Plan::clone(&first.plan);
        plan.answers.token = Some(Token::new("hunter2"));
        let plan = Arc::new(plan);

        routes.change(&[listener(RouteSet::All)], &plan);
        routes.open();
        assert_eq!(at.get(), RouteSet::Probes);
        let _ =
            recorder.publish(Snapshot { plan: Arc::clone(&plan), generation: first.generation + 1, ..first.clone() });
        routes.open();
        assert_eq!(at.get(), RouteSet::All);

        // Back to no token and fewer routes.
        routes.change(&[listener(RouteSet::Metrics)], &first.plan);
        assert_eq!(at.get(), RouteSet::Metrics);
        // A plan that says nothing new.
        routes.change(&[listener(RouteSet::All)], &plan);
        assert_eq!(at.get(), RouteSet::All);
        // An address that is no longer named keeps what it was to have.
        routes.change(&[], &plan);
        assert_eq!(at.get(), RouteSet::All);
    }
}
