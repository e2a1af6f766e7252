//! Where an object store is, and how it is reached: from a URL and the operator's variables to a store.
//!
//! What does not live here: reading the environment (whoever configures hands the variables over), and what is stored. The
//! invariants: credentials come from variables, never from a URL, and no text holds one; plain HTTP is spoken only to an
//! endpoint that the operator wrote with `http://`.

use std::{sync::Arc, time::Duration};

use model::{Error, Result};
use object_store::{
    BackoffConfig, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    multipart::MultipartStore,
};
use url::Url;

use super::http::Connector;

/// What this engine asks of a store.
pub trait Store: ObjectStore + MultipartStore {}

impl<S: ObjectStore + MultipartStore> Store for S {}

/// A variable of the operator's: its name and its value, which may be a secret.
pub type Variable = (String, String);

/// Tries go on for so long: what takes longer is told to the client, who tries again by itself.
const RETRY_FOR: Duration = Duration::from_secs(2);
const RETRIES_MAX: usize = 8;
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(400);
/// Variables that name an endpoint of S3; the first that is set counts.
const S3_ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// A URL as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    kind: Kind,
    bucket: String,
    /// Below which everything lies; may be empty.
    pub prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
}

impl Place {
    /// Reads a URL such as `s3://bucket/prefix`.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let refused = |why: &str| Err(Error::Storage(format!("object store: {why}")));
        // Not repeated: what is wrong with it may be that it holds a password.
        let Ok(url) = Url::parse(url) else { return refused("not a URL") };
        let kind = match url.scheme() {
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            "az" => Kind::Azure,
            "file" => {
                return refused(
                    "file:// is not served: nodes that share a directory need names that all see at once and a clean-up \
                     that knows whose stages are whose, which shared file systems do not give; one node takes --data, \
                     several an object store on that file system",
                );
            }
            _ => return refused("one of s3://, gs:// and az:// is spoken here"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("credentials belong into variables, not into the URL");
        }
        if url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
            return refused("a bucket and a prefix, nothing else, stand in the URL");
        }
        let Some(bucket) = url.host_str().filter(|bucket| !bucket.is_empty()) else {
            return refused("the URL names no bucket");
        };
        let prefix = url.path().trim_matches('/').to_owned();
        Ok(Self { kind, bucket: bucket.to_owned(), prefix })
    }

    /// Whether the store can be asked for the last bytes of an object whose length is not known.
    pub(super) fn has_suffixes(&self) -> bool {
        self.kind != Kind::Azure
    }

    /// The store at this place. Nothing is asked of it yet.
    pub(super) fn store(&self, variables: &[Variable], http: Connector) -> Result<Arc<dyn Store>> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: BACKOFF_FIRST,
                max_backoff: BACKOFF_MAX,
                base: 2.0,
            },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_FOR,
        };
        let named = |prefix: &'static str| {
            variables
                .iter()
                .filter(move |(name, _)| name.starts_with(prefix))
                .map(|(name, value)| (name.to_ascii_lowercase(), value))
        };
        Ok(match self.kind {
            Kind::S3 => {
                let mut builder = AmazonS3Builder::new();
                for (name, value) in named("AWS_") {
                    if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let endpoint = S3_ENDPOINTS
                    .iter()
                    .find_map(|wanted| variables.iter().find(|(name, _)| name == wanted));
                if let Some((_, endpoint)) = endpoint {
                    builder = builder
                        .with_endpoint(endpoint)
                        .with_allow_http(endpoint.starts_with("http://"));
                }
                let builder = builder.with_bucket_name(&self.bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(http).build().map_err(unusable)?)
            }
            Kind::Google => {
                let mut builder = GoogleCloudStorageBuilder::new();
                for (name, value) in named("GOOGLE_") {
                    if let Ok(key) = name.parse::<GoogleConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder.with_bucket_name(&self.bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(http).build().map_err(unusable)?)
            }
            Kind::Azure => {
                let mut builder = MicrosoftAzureBuilder::new();
                for (name, value) in named("AZURE_") {
                    if let Ok(key) = name.parse::<AzureConfigKey>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let endpoint = variables.iter().find(|(name, _)| name == "AZURE_STORAGE_ENDPOINT");
                if endpoint.is_some_and(|(_, endpoint)| endpoint.starts_with("http://")) {
                    builder = builder.with_allow_http(true);
                }
                let builder = builder.with_container_name(&self.bucket).with_retry(retry);
                Arc::new(builder.with_http_connector(http).build().map_err(unusable)?)
            }
        })
    }
}

/// Variables that make no sense. What they hold is not repeated.
fn unusable(e: object_store::Error) -> Error {
    let what = match e {
        object_store::Error::UnknownConfigurationKey { .. } => "an unknown setting",
        _ => "its variables (credentials, region, endpoint) are missing or cannot be read",
    };
    Error::Storage(format!("object store: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_a_bucket_and_a_prefix_and_no_secret() {
        let place = Place::parse("s3://bucket/some/prefix/").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("bucket", "some/prefix"));
        assert!(place.has_suffixes());
        assert_eq!(Place::parse("gs://b").unwrap().prefix, "");
        assert!(!Place::parse("az://container/x").unwrap().has_suffixes());
        for bad in [
            "s3://key:hunter2@bucket/x",
            "s3://key@bucket",
            "s3://bucket/x?secret=hunter2",
            "s3://bucket#hunter2",
            "s3://bucket:9000/x",
            "s3:///x",
            "s3:bucket",
            "http://bucket/x",
            "file:///srv/blobs",
            "hunter2",
        ] {
            let refused = Place::parse(bad).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{bad}: {refused}");
        }
    }

    #[test]
    fn plain_http_is_spoken_only_where_it_is_named() {
        let variables = |endpoint: &str| {
            [
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ACCESS_KEY_ID", "k"),
                ("AWS_SECRET_ACCESS_KEY", "s"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        };
        let place = Place::parse("s3://bucket").unwrap();
        let store = |endpoint| place.store(&variables(endpoint), Connector::default());
        assert!(store("http://127.0.0.1:1").is_ok());
        assert!(store("https://127.0.0.1:1").is_ok());
        let bad = [("AWS_UNSIGNED_PAYLOAD".to_owned(), "hunter2".to_owned())];
        let refused = place.store(&bad, Connector::default()).map(|_| ()).unwrap_err().to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
