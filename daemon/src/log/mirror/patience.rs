//! Neighbours first, and for how long they alone.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::time::timeout;

/// What all neighbours together may cost a question before the upstream is asked beside them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the neighbours found, or else the upstream. After two seconds both are asked, and whoever finds it first has won.
/// Without an upstream the neighbours are waited for to their end.
///
/// # Errors
/// The last word of the upstream, where there is one.
pub(super) async fn neighbours_first<T, E>(
    neighbours: impl Future<Output = Result<T, E>>,
    upstream: Option<impl Future<Output = Result<T, E>>>,
) -> Result<T, E> {
    let mut neighbours = pin!(neighbours);
    let Some(upstream) = upstream else {
        return neighbours.await;
    };
    match timeout(PATIENCE, neighbours.as_mut()).await {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(_)) => return upstream.await,
        Err(_) => {}
    }
    match select(neighbours, pin!(upstream)).await {
        Either::Left((Err(_), upstream)) => upstream.await,
        Either::Right((Err(error), neighbours)) => neighbours.await.map_err(|_| error),
        Either::Left((found, _)) | Either::Right((found, _)) => found,
    }
}
