//! The resolver under the client: what it does not hand out is not connected to.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{address, error::AddressesForbidden, rules::Reach};

/// Resolves names with the system's resolver and leaves out the addresses that may not be reached.
pub(crate) struct Checked(pub(crate) Reach);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(allowed(reach, found)?.into_iter()) as Addrs)
        })
    }
}

/// Those of the addresses found for a name that may be connected to.
fn allowed(
    reach: Reach,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, AddressesForbidden> {
    let may = |ip: IpAddr| reach == Reach::Anywhere || address::is_public(ip);
    let good: Vec<SocketAddr> = found.filter(|address| may(address.ip())).collect();
    if good.is_empty() { Err(AddressesForbidden) } else { Ok(good) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_may_be_reached_are_handed_out() {
        let found = || ["127.0.0.1:0", "1.1.1.1:0", "[fe80::1]:0"].map(|a| a.parse().unwrap());
        let public = allowed(Reach::Public, found().into_iter()).unwrap();
        assert_eq!(public, ["1.1.1.1:0".parse().unwrap()]);
        assert_eq!(allowed(Reach::Anywhere, found().into_iter()).unwrap().len(), 3);
        assert!(allowed(Reach::Public, found().into_iter().take(1)).is_err());
    }
}
