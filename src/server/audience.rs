//! Whether one who follows a stream may still see what it was let in to see: a reload may ask for a token, or answer less
//! at the address, while the stream goes on.

use std::sync::Arc;

use hyper::header::{HeaderValue, ORIGIN};

use super::listen::ListenerRoutes;
use super::request::IncomingRequest;
use crate::base::token::Token;
use crate::model::plan::{Answers, Details};
use crate::model::route::RouteSet;
use crate::store::Board;

/// What one was judged by who was let in to see everything.
#[derive(Debug)]
pub(super) struct Audience {
    board: Board,
    address: ListenerRoutes,
    token: Option<Token>,
    /// The page of another origin that reads along.
    origin: Option<HeaderValue>,
}

/// What is said to whom a reload lets see less.
pub(super) const OVER: &str = "a reload has changed who may see this; connect again";

impl Audience {
    /// Who asks, judged by `answers`.
    pub(super) fn of(incoming: &IncomingRequest<'_>, board: &Board, answers: &Answers) -> Box<Self> {
        let origin = incoming.headers.get(ORIGIN).filter(|origin| is_let_in(origin, &answers.cors_origins));
        Box::new(Self {
            board: board.clone(),
            address: incoming.address.clone(),
            token: answers.token,
            origin: origin.cloned(),
        })
    }

    /// Whether a reload has brought another token since, fewer routes, or a list of origins without this one. Who looks
    /// after it has been given something to tell may tell that where this says no.
    pub(super) fn is_over(&self) -> bool {
        let answers = &self.board.latest().plan.answers;
        let lacks_token = answers.token.is_some() && answers.token != self.token;
        let lacks_origin = self.origin.as_ref().is_some_and(|origin| !is_let_in(origin, &answers.cors_origins));
        lacks_token || lacks_origin || self.address.get() != RouteSet::All
    }

    /// How much may be told now.
    pub(super) fn details(&self) -> Details {
        self.board.latest().plan.answers.details
    }
}

fn is_let_in(origin: &HeaderValue, origins: &Arc<[String]>) -> bool {
    origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;
    use hyper::{Method, Uri, Version};

    use super::*;
    use crate::metrics::testing::{answering, snapshot};
    use crate::model::snapshot::Snapshot;
    use crate::server::request::ConnectionAddresses;
    use crate::server::tests::incoming;
    use crate::store::board;

    #[test]
    fn an_audience_is_over_once_it_could_not_be_let_in_again() {
        let plain = snapshot(vec![]);
        let answers = |token: Option<&str>, origins: &[&str]| {
            answering(plain.clone(), |answers| {
                answers.token = token.map(Token::new);
                answers.cors_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
            })
        };
        let page = "https://grafana.example";
        let cases = [
            ((None, &[][..]), (None, &[][..]), false, "as before"),
            ((None, &[]), (Some("hunter2"), &[]), true, "a token is asked for"),
            ((Some("hunter2"), &[]), (Some("hunter3"), &[]), true, "another is"),
            ((Some("hunter2"), &[]), (None, &[]), false, "none is any more"),
            ((None, &[page]), (None, &["https://other.example"]), true, "the page may not read along"),
            ((None, &["https://other.example"]), (None, &[]), false, "it was never told that it may"),
        ];
        let home = "127.0.0.1".parse().unwrap();
        let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("https://grafana.example"))]);
        let (uri, ends) = (Uri::from_static("/v1/stream"), ConnectionAddresses { peer: home, local: home });
        for ((token, origins), (next_token, next_origins), expected, what) in cases {
            let before: Snapshot = answers(token, origins);
            let (mut recorder, board) = board(before.clone());
            let request = incoming(&Method::GET, Version::HTTP_11, &uri, &headers, ends);
            let audience = Audience::of(&request, &board, &before.plan.answers);
            assert!(!audience.is_over(), "{what}");
            let _ = recorder.publish(answers(next_token, next_origins));
            assert_eq!(audience.is_over(), expected, "{what}");
        }
    }

    #[test]
    fn an_audience_is_over_where_an_address_no_longer_has_all_routes() {
        let plain = snapshot(vec![]);
        let (_recorder, board) = board(plain.clone());
        let home = "127.0.0.1".parse().unwrap();
        let (uri, ends) = (Uri::from_static("/v1/stream"), ConnectionAddresses { peer: home, local: home });
        let headers = HeaderMap::new();
        let address = ListenerRoutes::of(RouteSet::All);
        let request =
            IncomingRequest { address: &address, ..incoming(&Method::GET, Version::HTTP_11, &uri, &headers, ends) };
        let audience = Audience::of(&request, &board, &plain.plan.answers);
        assert!(!audience.is_over());
        address.set(RouteSet::Metrics);
        assert!(audience.is_over());
    }
}
