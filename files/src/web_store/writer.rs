//! The client of files that are written.

use std::error::Error;

use async_trait::async_trait;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::http::{HttpBuilder, HttpStore};
use tamis_udfs::web::{Client, WebError};

/// Object_store's own store of an origin. It writes where the client may read, and nowhere else.
pub(super) fn writer(origin: &str, client: &Client) -> object_store::Result<HttpStore> {
    HttpBuilder::new().with_url(origin).with_http_connector(Checked(client.http().clone())).build()
}

/// Hands the client on to object_store.
#[derive(Debug, Clone)]
struct Checked(reqwest::Client);

impl HttpConnector for Checked {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.0.call(request).await.map_err(|error| match refusal(&error) {
            // For object_store it is a connection that failed, which it tries again and again.
            Some(refusal) => HttpError::new(HttpErrorKind::Unknown, refusal),
            None => error,
        })
    }
}

/// The refusal of an address, if that is what an error comes of.
fn refusal(error: &HttpError) -> Option<WebError> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<WebError>()).find(|cause| !cause.is_transient()).cloned()
}
