//! Which addresses a URL of a stranger may lead to: those that the whole Internet can reach, and no others.
//!
//! By the registries of special-use addresses (RFC 6890, as IANA keeps them), and through every form in which an IPv6
//! address carries one of IPv4: whoever asks for `64:ff9b::7f00:1` means `127.0.0.1`. It is asked about the address that
//! is dialled, and never about a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the Internet.
    Global,
    /// To this machine or a network behind the same walls: only for a host that the operator named.
    Inside,
    /// Nowhere that a document can lie: links, groups, the machines' own services of the clouds.
    Never,
}

/// Where this address leads.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        // The clouds' services for their own machines: Azure's is a public address, Alibaba's one of a carrier.
        [168, 63, 129, 16] | [100, 100, 100, 200] => Reach::Never,
        [10, ..] | [127, ..] | [192, 168, ..] => Reach::Inside,
        [172, second, ..] if second & 0xf0 == 16 => Reach::Inside,
        // Shared address space (RFC 6598).
        [100, second, ..] if second & 0xc0 == 64 => Reach::Inside,
        // "This network", link-local, IETF protocol assignments, documentation, 6to4 relays, benchmarks, multicast,
        // reserved, broadcast.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0, _]
        | [192, 0, 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Reach::Never,
        _ => Reach::Global,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return reach_v4(mapped);
    }
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Inside;
    }
    let segments = address.segments();
    match segments {
        // AWS answers its machines there (EC2 User Guide, "Instance metadata"; EKS Pod Identity).
        [0xfd00, 0x0ec2, ..]
        // Google's (Compute Engine, "View and query VM metadata") and Oracle's (Compute, "Instance Metadata Service").
        | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254]
        | [0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe] => return Reach::Never,
        [first, ..] if first & 0xfe00 == 0xfc00 => return Reach::Inside,
        _ => {}
    }
    let carried = carried(address);
    if carried.iter().any(|v4| reach_v4(*v4) != Reach::Global) {
        return Reach::Never;
    }
    let carries_all = is_a_v4_form(&segments);
    if carries_all || is_global_unicast(&segments) { Reach::Global } else { Reach::Never }
}

/// The forms whose prefix says that there is nothing but an IPv4 address in them: IPv4-compatible (RFC 4291, section
/// 2.5.5.1), IPv4-translated (RFC 2765, section 2.1), NAT64 (RFC 6052, section 2.1; RFC 8215), Teredo (RFC 4380,
/// section 4). Whether they may be dialled is for that address to say.
const fn is_a_v4_form(segments: &[u16; 8]) -> bool {
    matches!(
        segments,
        [0, 0, 0, 0, 0, 0, _, _]
            | [0, 0, 0, 0, 0xffff, 0, _, _]
            | [0x64, 0xff9b, 0, 0, 0, 0, _, _]
            | [0x64, 0xff9b, 1, ..]
            | [0x2001, 0, ..]
    )
}

/// 2000::/3 (RFC 4291, section 2.4) without protocol assignments (2001::/23), documentation (2001:db8::/32, 3fff::/20).
fn is_global_unicast(segments: &[u16; 8]) -> bool {
    match segments {
        [0x2001, second, ..] if *second < 0x0200 => false,
        [0x2001, 0x0db8, ..] => false,
        [0x3fff, second, ..] if *second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Every IPv4 address that stands in this one.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = address.octets();
    let at = |places: [usize; 4]| {
        let byte = |index: usize| octets.get(index).copied().unwrap_or_default();
        let [a, b, c, d] = places;
        Ipv4Addr::new(byte(a), byte(b), byte(c), byte(d))
    };
    let last = at([12, 13, 14, 15]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => {
            vec![last]
        }
        // A prefix of any length may have been cut from it (RFC 8215, section 4; RFC 6052, section 2.2).
        [0x64, 0xff9b, 1, ..] if octets.iter().skip(13).all(|byte| *byte == 0) => {
            vec![last, at([6, 7, 9, 10]), at([7, 9, 10, 11]), at([9, 10, 11, 12])]
        }
        [0x64, 0xff9b, 1, ..] => vec![last],
        // The client's is written upside down.
        [0x2001, 0, ..] => vec![at([4, 5, 6, 7]), Ipv4Addr::from_bits(!last.to_bits())],
        // 6to4 (RFC 3056, section 2).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // ISATAP (RFC 5214, section 6.1), under any prefix.
        [_, _, _, _, flags, 0x5efe, _, _] if flags & !0x0200 == 0 => vec![last],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    #[test]
    fn the_internet_may_be_dialled() {
        for global in [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450:4001:81b::200e",
        ] {
            assert_eq!(of(global), Reach::Global, "{global}");
        }
    }

    #[test]
    fn what_lies_behind_walls_is_inside() {
        for inside in [
            "10.0.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
        ] {
            assert_eq!(of(inside), Reach::Inside, "{inside}");
        }
    }

    #[test]
    fn special_addresses_are_never_dialled() {
        for never in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2001:db8::1",
            "2001:2::1",
            "2001:10::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert_eq!(of(never), Reach::Never, "{never}");
        }
    }

    /// CM-04.
    #[test]
    fn an_ipv6_address_is_judged_by_the_ipv4_address_that_it_carries() {
        for never in [
            "::ffff:0:a9fe:a9fe",
            "::7f00:1",
            "::a00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:fffe::a00:1",
            // 10.0.0.1 as it stands behind prefixes of 48 and 64 bits
            "64:ff9b:1:a00:0:100::",
            "64:ff9b:1:0:a:0:100:0",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::",
            // Teredo: 10.0.0.1 as the client, then as the server
            "2001:0:808:808::f5ff:fffe",
            "2001:0:a00:1::f7f7:f7f7",
            "2606:4700::5efe:192.168.1.1",
            "2606:4700::200:5efe:10.0.0.1",
            "fe80::5efe:8.8.8.8",
        ] {
            assert_eq!(of(never), Reach::Never, "{never}");
        }
        for global in [
            "::ffff:8.8.8.8",
            "::ffff:0:808:808",
            "::808:808",
            "64:ff9b::808:808",
            "64:ff9b:1::808:808",
            "64:ff9b:1:fffe::808:808",
            "2002:808:808::1",
            "2001:0:808:808::f7f7:f7f7",
            "2606:4700::5efe:8.8.8.8",
        ] {
            assert_eq!(of(global), Reach::Global, "{global}");
        }
    }
}
