//! How many uploads there are at once. While its bytes come, an upload is no request in flight (`rest/src/places.rs`), so
//! that slow clients keep nobody from asking; what they may have of this process is bounded here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use novella_common::service::ClientAddress;
use novella_rest::ApiError;

use crate::ImageConfig;

/// The uploads of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uploads(Arc<Mutex<HashMap<ClientAddress, usize>>>);

/// The right to upload, until it is dropped.
#[derive(Debug)]
pub(crate) struct Upload {
    of: Uploads,
    client: ClientAddress,
}

impl Uploads {
    /// Begins an upload.
    ///
    /// # Errors
    /// 503 or 429 if there are as many as there may be.
    pub(crate) fn begin(&self, client: ClientAddress, config: &ImageConfig) -> Result<Upload, ApiError> {
        let mut counts = self.lock();
        if counts.values().sum::<usize>() >= config.max_uploads {
            return Err(ApiError::Unavailable("The service takes as many uploads at once as it may.".into()));
        }
        let own = counts.entry(client).or_default();
        if *own >= config.max_uploads_per_address {
            return Err(ApiError::TooManyRequests(format!(
                "The service takes {own} uploads from your address, as many as it may."
            )));
        }
        *own += 1;
        Ok(Upload { of: self.clone(), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientAddress, usize>> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut counts = self.of.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn neither_one_client_nor_all_have_more_uploads_than_they_may() {
        let client = |text: &str| ClientAddress::from(text.parse::<IpAddr>().unwrap());
        let config = ImageConfig { max_uploads: 3, max_uploads_per_address: 2, ..ImageConfig::default() };
        let (uploads, one, other) = (Uploads::default(), client("192.0.2.1"), client("192.0.2.2"));
        let begin = |client| uploads.begin(client, &config);
        let (first, _second) = (begin(one).unwrap(), begin(one).unwrap());
        assert!(matches!(begin(one), Err(ApiError::TooManyRequests(_))));
        let third = begin(other).unwrap();
        assert!(matches!(begin(other), Err(ApiError::Unavailable(_))));
        drop((first, third));
        let _again = begin(one).unwrap();
        assert_eq!(uploads.lock().len(), 1);
    }
}
