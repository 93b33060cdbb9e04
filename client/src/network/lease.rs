//! Servers that the DHCP lease names: option 224, the first of those that are
//! a site's own (RFC 3942), as text, `HOST[:PORT]` with spaces or commas
//! between. Nobody is asked for it here: it is read where the system's DHCP
//! client leaves its lease.
//!
//! | client | file | form |
//! | --- | --- | --- |
//! | dhclient | `/var/lib/dhcp/*.leases`, `/var/lib/NetworkManager/dhclient-*.lease` | `option unknown-224 "mud host05";` or bytes in hexadecimal; `option afterglow-servers "…";` where dhclient.conf names it |
//! | NetworkManager | `/run/NetworkManager/devices/*` | section `[dhcp4]`, `private_224=6d:75:64` |
//! | its own client | `/var/lib/NetworkManager/*.lease` | `OPTION_224=6d7564` |
//! | systemd-networkd | `/run/systemd/netif/leases/*` | `OPTION_224=6d7564` |
//!
//! The client has to ask the DHCP server for the option: `request` in
//! dhclient.conf, `RequestOptions=224` in a .network file; NetworkManager asks
//! for all of a site's own options.

use super::server_list::servers_in;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where leases are, and how the names of their files end.
const PLACES: [(&str, &str); 5] = [
    ("/var/lib/dhcp", ".leases"),
    ("/var/lib/dhclient", ".leases"),
    ("/var/lib/NetworkManager", ".lease"),
    ("/run/NetworkManager/devices", ""),
    ("/run/systemd/netif/leases", ""),
];
/// The most files of one place that are read, the newest first.
const FILES_MAX: usize = 8;
/// How many files of one place are looked at to find those.
const ENTRIES_MAX: usize = 256;
/// Of a longer file only the end is read: the newest lease is there.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// A DHCP option has at most this many bytes.
const OPTION_BYTES_MAX: usize = 255;

/// The servers that the system's leases name, each once. Reads files.
pub(super) fn servers() -> Vec<(String, u16)> {
    let mut servers = Vec::new();
    for (place, ending) in PLACES {
        for path in newest(Path::new(place), ending) {
            let text = end_of(&path).unwrap_or_default();
            for server in option_of(&text).iter().flat_map(|list| servers_in(list)) {
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
    }
    servers
}

/// The newest files in a folder; none if it cannot be read.
fn newest(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<(SystemTime, PathBuf)> = entries
        .take(ENTRIES_MAX)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            let wanted = metadata.is_file() && entry.file_name().to_str()?.ends_with(ending);
            wanted.then_some((metadata.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    files.into_iter().take(FILES_MAX).map(|(_, path)| path).collect()
}

fn end_of(path: &Path) -> std::io::Result<String> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(FILE_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The option in the last lease of a file, in any of the forms.
fn option_of(text: &str) -> Option<String> {
    // dhclient adds leases at the end; the other clients keep one a file.
    let last = text.rfind("lease {").and_then(|at| text.get(at..)).unwrap_or(text);
    last.lines().filter_map(|line| option_in(line.trim())).next_back()
}

fn option_in(line: &str) -> Option<String> {
    if let Some(bytes) = line.strip_prefix("OPTION_224=") {
        return text_of_hex(bytes);
    }
    if let Some(bytes) = line.strip_prefix("private_224=") {
        return text_of_hex(bytes);
    }
    let option = line.strip_prefix("option ")?.strip_suffix(';')?;
    let named = ["unknown-224 ", "afterglow-servers "];
    let value = named.iter().find_map(|name| option.strip_prefix(name))?.trim();
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(text) => Some(text.chars().take(OPTION_BYTES_MAX).collect()),
        None => text_of_hex(value),
    }
}

/// Bytes in hexadecimal, with or without colons between them, as text. In
/// dhclient's form leading zeros are left out where there are colons.
fn text_of_hex(digits: &str) -> Option<String> {
    let digits = digits.trim();
    let pairs: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').take(OPTION_BYTES_MAX).collect(),
        false => {
            let pairs = (0..digits.len()).step_by(2).take(OPTION_BYTES_MAX);
            pairs.map(|at| digits.get(at..at + 2)).collect::<Option<_>>()?
        }
    };
    let byte = |pair: &str| u8::from_str_radix(pair, 16).ok();
    let bytes: Vec<u8> = pairs.into_iter().map(byte).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DHCLIENT: &str = r#"
lease {
  interface "eth0";
  fixed-address 192.168.1.5;
  option subnet-mask 255.255.255.0;
  option dhcp-lease-time 3600;
  option unknown-224 "old";
  renew 3 2026/11/25 01:00:00;
  expire 3 2026/11/25 02:00:00;
}
lease {
  interface "eth0";
  fixed-address 192.168.1.5;
  option subnet-mask 255.255.255.0;
  option routers 192.168.1.1;
  option unknown-224 "mud host05:7020";
  expire 3 2026/11/25 03:00:00;
}
"#;

    const DHCLIENT_BYTES: &str = "lease {\n  option unknown-224 6d:75:64:a;\n}\n";

    const DHCLIENT_NAMED: &str =
        "lease {\n  option afterglow-servers \"10.0.0.1:7110,10.0.0.2\";\n}\n";

    const NETWORKD: &str = "# This is private data. Do not parse.\nADDRESS=192.168.1.5\n\
        NETMASK=255.255.255.0\nROUTER=192.168.1.1\nSERVER_ADDRESS=192.168.1.1\nT1=1800\n\
        LIFETIME=3600\nDNS=192.168.1.1\nOPTION_224=6d756420686f73743035\n";

    const NETWORK_MANAGER: &str = "[device]\nmanaged=1\nnm-owned=0\nroute-metric-default=100\n\n\
        [dhcp4]\nbroadcast_address=192.168.1.255\nip_address=192.168.1.5\n\
        private_224=6d:75:64:2c:68:6f:73:74:30:35\nrouters=192.168.1.1\n";

    fn found(text: &str) -> Vec<(String, u16)> {
        option_of(text).map(|list| servers_in(&list)).unwrap_or_default()
    }

    #[test]
    fn each_clients_lease_is_read() {
        let both = [("mud".to_owned(), 7010), ("host05".to_owned(), 7010)];
        assert_eq!(found(DHCLIENT), [("mud".into(), 7010), ("host05".into(), 7020)]);
        assert_eq!(found(DHCLIENT_BYTES), [("mud".into(), 7010)]);
        assert_eq!(found(DHCLIENT_NAMED), [("10.0.0.1".into(), 7110), ("10.0.0.2".into(), 7010)]);
        assert_eq!(found(NETWORKD), both);
        assert_eq!(found(NETWORK_MANAGER), both);
    }

    #[test]
    fn a_lease_without_the_option_names_nobody() {
        let last_without = DHCLIENT.to_owned() + "lease {\n  interface \"eth0\";\n}\n";
        for text in ["", "OPTION_225=6d", "OPTION_224=6d7", "OPTION_224=zz", &last_without] {
            assert_eq!(found(text), [], "{text:?}");
        }
    }

    #[test]
    fn files_are_read_in_part_and_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dhclient.eth0.leases");
        let old = "lease {\n  option unknown-224 \"old\";\n}\n".repeat(4_000);
        std::fs::write(&path, old + DHCLIENT).unwrap();
        std::fs::write(folder.path().join("other"), DHCLIENT).unwrap();
        assert_eq!(newest(folder.path(), ".leases"), std::slice::from_ref(&path));
        let text = end_of(&path).unwrap();
        assert!(text.len() as u64 <= FILE_BYTES_MAX);
        assert_eq!(found(&text)[0].0, "mud");
        assert!(newest(&folder.path().join("none"), "").is_empty());
    }

    proptest! {
        #[test]
        fn no_file_does_harm(text in "(lease \\{|option unknown-224|OPTION_224=|[0-9a-f:\";\n ]|\\PC)*") {
            prop_assert!(found(&text).len() <= 16);
        }
    }
}
