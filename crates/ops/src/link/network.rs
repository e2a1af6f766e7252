//! The term `ip`: an address, or a network as CIDR, of either family.

use std::{fmt, net::IpAddr};

/// An address with how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.1.2.3`, `10.0.0.0/8`, `2001:db8::/32`. Bits of the address beyond those that count mean nothing; a v4
    /// address or network in its v6 form is a v4 one. `None`: it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => whole,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
        };
        if bits > whole {
            return None;
        }
        Some(match address.to_canonical() {
            IpAddr::V4(v4) if address.is_ipv6() && bits >= 96 => {
                Self { address: IpAddr::V4(v4), bits: bits - 96 }
            }
            _ => Self { address, bits },
        })
    }

    /// Whether an address lies in it; a v4 address in its v6 form is a v4 one.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        write!(f, "{}", self.address)?;
        if self.bits == whole { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_it() {
        for (network, inside, outside) in [
            ("10.1.2.3", &["10.1.2.3", "::ffff:10.1.2.3"][..], &["10.1.2.4", "::1"][..]),
            ("10.1.2.3/8", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0"]),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]),
            ("0.0.0.0/0", &["255.255.255.255", "0.0.0.0"], &["2001:db8::1"]),
            ("192.168.1.128/25", &["192.168.1.255"], &["192.168.1.127"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]),
            ("2001:db8::1", &["2001:db8::1"], &["2001:db8::2"]),
            ("::/0", &["::1", "ff::"], &["1.2.3.4"]),
            ("::ffff:10.0.0.0/104", &["10.9.9.9", "::ffff:10.9.9.9"], &["11.0.0.0"]),
            ("::ffff:10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
        ] {
            let network = Network::parse(network).unwrap_or_else(|| panic!("{network}"));
            for address in inside {
                assert!(network.holds(address.parse().unwrap()), "{network} {address}");
            }
            for address in outside {
                assert!(!network.holds(address.parse().unwrap()), "{network} {address}");
            }
            assert_eq!(Network::parse(&network.to_string()), Some(network));
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0",
            "10.0.0.0/255.0.0.0",
            "[::1]",
            "example.com",
            " 10.0.0.1",
            "10.0.0.0/99999999999",
            "010.0.0.1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
