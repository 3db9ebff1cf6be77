//! The dataset of a task: where it may be had, and whether it is the one that the chain names (spec `worker.md` §6.7). It stays as it is:
//! a standard task decrypts nothing.

use std::path::Path;

use alloy_primitives::B256;
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Budget, DownloadError, DownloadSettings, Downloader, Fetched, Incoming, InputError, Tries,
};
use crate::description::DatasetSource;

/// Puts the dataset into its place.
///
/// # Errors
/// It does not come, or it is another.
pub(super) async fn fetch(
    downloader: &Downloader,
    settings: &DownloadSettings,
    source: &DatasetSource,
    name: &str,
    incoming: &Incoming,
    budget: &mut Budget,
) -> Result<(), InputError> {
    if incoming.kept(name).await {
        let whole = incoming.whole(name);
        let found = checksum(&whole).await;
        if found.map_err(|error| InputError::disk("read", &whole, error))? == source.checksum {
            return Ok(());
        }
        tokio::fs::remove_file(&whole)
            .await
            .map_err(|error| InputError::disk("remove", &whole, error))?;
    }
    let part = incoming.part(name);
    let limit = *budget;
    let places = places(&source.uri, &settings.gateways);
    let mut tries = Tries::within(&limit);
    let fetched = loop {
        let answer = match &places {
            None => downloader.stranger(&source.uri, &part, &limit).await,
            Some(places) => first_of(downloader, places, source.checksum, &part, &limit).await,
        };
        if !tries.again(&answer).await {
            break answer;
        }
    };
    let fetched = fetched.map_err(|error| InputError::Dataset {
        uri: source.uri.clone(),
        source: error,
    })?;
    budget.bytes = budget.bytes.saturating_sub(fetched.bytes);
    if fetched.sha256 != source.checksum {
        return Err(InputError::Checksum {
            uri: source.uri.clone(),
            found: fetched.sha256.to_string(),
            expected: source.checksum.to_string(),
        });
    }
    incoming.keep(name).await?;
    tracing::info!(
        uri = source.uri,
        bytes = fetched.bytes,
        "the dataset is here"
    );
    Ok(())
}

/// The first gateway that has the right thing. One that has another thing under that id is no better than one that has nothing; when none
/// is better, the wrong thing is what the caller gets.
async fn first_of(
    downloader: &Downloader,
    places: &[Url],
    checksum: B256,
    part: &Path,
    limit: &Budget,
) -> Result<Fetched, DownloadError> {
    let mut wrong = None;
    let mut last = Err(DownloadError::Nowhere);
    for url in places {
        match downloader.operator(url, part, limit).await {
            Ok(fetched) if fetched.sha256 == checksum => return Ok(fetched),
            Ok(fetched) => {
                tracing::warn!(%url, sha256 = %fetched.sha256, "a gateway gives another dataset than the chain names");
                wrong = Some(fetched);
            }
            Err(error) => {
                tracing::warn!(%url, %error, "a gateway does not give the dataset");
                let ours = error.is_ours();
                last = Err(error);
                if ours {
                    break;
                }
            }
        }
    }
    wrong.map_or(last, Ok)
}

/// The gateways' URLs for a place in IPFS; `None` for anything else, which is a URL itself.
fn places(uri: &str, gateways: &[Url]) -> Option<Vec<Url>> {
    let uri = uri.trim();
    // The form that the SDK shows for a content id of IPFS; gateways know the other.
    let path = match uri.strip_prefix("/p2p/") {
        Some(cid) => format!("/ipfs/{cid}"),
        None if uri.starts_with('/') => uri.to_owned(),
        None => return None,
    };
    let url = |gateway: &Url| {
        let base = gateway.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).ok()
    };
    Some(gateways.iter().filter_map(url).collect())
}

/// SHA-256 of a file that is already here.
async fn checksum(file: &Path) -> std::io::Result<B256> {
    let file = file.to_path_buf();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        std::io::copy(&mut std::fs::File::open(file)?, &mut hash)?;
        Ok(B256::from_slice(&hash.finalize()))
    });
    hashed.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn a_content_id_is_asked_for_at_every_gateway_and_a_url_at_itself() {
        let gateways = ["https://one.example", "http://127.0.0.1:8080/prefix/"]
            .map(|gateway| gateway.parse().unwrap());
        let texts = |uri| {
            let places = places(uri, &gateways)?;
            Some(places.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let at_both = |rest: &str| {
            Some(vec![
                format!("https://one.example/ipfs/{rest}"),
                format!("http://127.0.0.1:8080/prefix/ipfs/{rest}"),
            ])
        };
        assert_eq!(texts("/ipfs/Qm1"), at_both("Qm1"));
        assert_eq!(texts("/ipfs/bafy/data.bin"), at_both("bafy/data.bin"));
        assert_eq!(texts("/p2p/Qm1"), at_both("Qm1"));
        assert_eq!(texts("https://example.org/data.bin"), None);
        assert_eq!(texts("Qm1"), None);
        // The path cannot change the host.
        assert_eq!(
            texts("//evil.example/a").unwrap()[0],
            "https://one.example//evil.example/a"
        );
    }
}
