//! A request, as far as an answer depends on it.

use std::net::IpAddr;

use hyper::header::HeaderMap;
use hyper::{Method, Uri, Version};

use super::listen::ListenerRoutes;
use super::query::Query;
use super::sent_body::SentBody;
use crate::base::clock::Reading;
use crate::model::route::RouteSet;

/// What is asked, by whom, and when.
#[derive(Debug)]
pub(super) struct IncomingRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    pub(super) uri: &'a Uri,
    pub(super) query: Query<'a>,
    pub(super) headers: &'a HeaderMap,
    pub(super) ends: ConnectionAddresses,
    /// What is answered where it was asked, as it was judged.
    pub(super) routes: RouteSet,
    /// The same as it is at any time.
    pub(super) address: &'a ListenerRoutes,
    pub(super) body: &'a SentBody,
    pub(super) reading: Reading,
}

impl IncomingRequest<'_> {
    /// Whether it only looks.
    pub(super) fn is_read(&self) -> bool {
        matches!(*self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct PendingRequest {
    method: Method,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
    ends: ConnectionAddresses,
    routes: RouteSet,
    address: ListenerRoutes,
    reading: Reading,
}

impl PendingRequest {
    /// The request of `incoming`.
    pub(super) fn of(incoming: &IncomingRequest<'_>) -> Self {
        Self {
            method: incoming.method.clone(),
            version: incoming.version,
            uri: incoming.uri.clone(),
            headers: incoming.headers.clone(),
            ends: incoming.ends,
            routes: incoming.routes,
            address: incoming.address.clone(),
            reading: incoming.reading,
        }
    }

    /// What is asked, when it was asked.
    pub(super) fn as_incoming(&self) -> IncomingRequest<'_> {
        let Self { method, version, uri, headers, ends, routes, address, reading } = self;
        IncomingRequest {
            method,
            version: *version,
            uri,
            query: Query::new(uri.query()),
            headers,
            ends: *ends,
            routes: *routes,
            address,
            // What is answered later only looks.
            body: &SentBody::Empty,
            reading: *reading,
        }
    }
}

/// The addresses of the two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionAddresses {
    /// The client.
    pub(super) peer: IpAddr,
    /// Where it was asked.
    pub(super) local: IpAddr,
}
