//! Names to addresses, once for each connection: what comes out is judged, and dialled as it is. There is no second
//! lookup that could say something else.

use std::fmt;
use std::io;
use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// Where names lead.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// All addresses of this host name.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// No name leads anywhere: for whoever fetches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Resolver for Nowhere {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Err(io::Error::from(io::ErrorKind::NotFound)) })
    }
}

/// What the system says.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) },
        )
    }
}
