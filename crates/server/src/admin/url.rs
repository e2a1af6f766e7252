//! `headwater url`: secrets of accounts, and links signed with them. The semantics are in `ops::link`.

use anyhow::{Context, bail};
use model::{Error, Secret, TreePath};
use ops::{
    Store,
    link::{HashKind, Network, NewLink, PublicUrl, Rate, Terms, referer_domain},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A question about signed URLs.
#[derive(Serialize, Deserialize)]
#[serde(tag = "url", rename_all = "snake_case")]
pub(crate) enum UrlCommand {
    /// `secret`: one the operator brings; `None`: one is made up. `rotate`: the older of two goes.
    AddSecret { account: String, secret: Option<String>, rotate: bool },
    /// Names of secrets, never the secrets.
    ListSecrets { account: String },
    /// By name.
    RemoveSecret { account: String, id: String },
    /// A link.
    Sign(Box<SignCommand>),
}

/// A link to be signed, as typed.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignCommand {
    pub(crate) account: String,
    pub(crate) path: String,
    pub(crate) below: bool,
    pub(crate) lasts_secs: u64,
    pub(crate) start: Option<u64>,
    pub(crate) network: Option<String>,
    pub(crate) referers: Vec<String>,
    pub(crate) free_kb: u64,
    pub(crate) kb_per_sec: Option<u64>,
    pub(crate) attachment: bool,
    pub(crate) md5: bool,
    pub(crate) public_url: Option<String>,
}

/// Carries a command out.
pub(super) async fn execute(store: &Store, command: UrlCommand) -> anyhow::Result<Value> {
    match command {
        UrlCommand::AddSecret { account, secret, rotate } => {
            let shown = secret.is_none();
            match store.add_url_secret(&account, secret.map(Secret::new), rotate).await {
                Ok(new) if shown => Ok(json!({
                    "account": account, "id": new.id, "secret": new.secret.expose(),
                })),
                Ok(new) => Ok(json!({ "account": account, "id": new.id })),
                Err(Error::Exists) => bail!("the account has two secrets: rotate, or remove one"),
                Err(e) => Err(e.into()),
            }
        }
        UrlCommand::ListSecrets { account } => {
            let ids = store.list_url_secrets(&account).await?;
            Ok(ids
                .into_iter()
                .enumerate()
                .map(|(i, id)| json!({ "account": account, "id": id, "signs": i == 0 }))
                .collect())
        }
        UrlCommand::RemoveSecret { account, id } => {
            match store.remove_url_secret(&account, &id).await {
                Ok(()) => Ok(json!({ "account": account, "id": id, "secret": "removed" })),
                Err(Error::NotFound) => bail!("no such secret"),
                Err(e) => Err(e.into()),
            }
        }
        UrlCommand::Sign(sign) => match store.sign_url(link(*sign)?).await {
            Ok(url) => Ok(Value::String(url)),
            Err(Error::NotConfigured) => bail!(
                "not configured: the account needs a secret (headwater url secret add), and the server a public URL \
                 ([egress] public_url in its configuration; without a running server, --public-url)"
            ),
            Err(e) => Err(e.into()),
        },
    }
}

/// What was typed, read.
fn link(sign: SignCommand) -> anyhow::Result<NewLink> {
    let network = match &sign.network {
        Some(text) => Some(Network::parse(text).context("--ip is no address and no network")?),
        None => None,
    };
    let referers: Option<Vec<_>> = sign.referers.iter().map(|d| referer_domain(d)).collect();
    let rate = match sign.kb_per_sec {
        Some(kb_per_sec) => {
            Some(Rate::limited(sign.free_kb, kb_per_sec).context("--rate is 1 at least")?)
        }
        None => None,
    };
    let public_url = match &sign.public_url {
        Some(text) => Some(PublicUrl::parse(text).context("--public-url")?),
        None => None,
    };
    Ok(NewLink {
        account: sign.account,
        path: TreePath::parse(&sign.path)?,
        below: sign.below,
        lasts_secs: sign.lasts_secs,
        terms: Terms {
            start: sign.start,
            network,
            referers: referers.context("--referer is no domain")?,
            rate,
            attachment: sign.attachment,
            hash: if sign.md5 { HashKind::Md5 } else { HashKind::Sha256 },
            ..Terms::default()
        },
        public_url,
    })
}
