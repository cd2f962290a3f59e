//! Trying again.

use std::time::Duration;

use super::WebError;

/// Makes an attempt, and after each of the pauses another if the one before failed for a reason that may have gone.
pub async fn retried<T, F>(pauses: &[Duration], mut attempt: impl FnMut() -> F) -> Result<T, WebError>
where
    F: Future<Output = Result<T, WebError>>,
{
    for pause in pauses {
        match attempt().await {
            Err(error) if error.is_transient() => {
                log::debug!("trying again in {pause:?}: {error}");
                tokio::time::sleep(*pause).await;
            }
            answer => return answer,
        }
    }
    attempt().await
}
