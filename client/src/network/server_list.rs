//! `HOST[:PORT]`, as the command line and a DHCP lease write it.

use crate::cli::CONTROL_PORT;

/// The most servers that one list may name.
const SERVERS_MAX: usize = 16;

/// Splits `HOST[:PORT]`.
pub(super) fn host_and_port(server: &str) -> (String, u16) {
    match server.rsplit_once(':') {
        Some((host, port)) if let Ok(port) = port.parse() => (host.to_owned(), port),
        _ => (server.to_owned(), CONTROL_PORT),
    }
}

/// True if this can be a host's name or an IPv4 address.
pub(super) fn is_host(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// The servers of a list that spaces or commas divide; what is none is left
/// out.
pub(super) fn servers_in(list: &str) -> Vec<(String, u16)> {
    let words = list.split(|c: char| c == ',' || c.is_whitespace() || c == '\0');
    let servers = words.filter(|word| !word.is_empty()).map(host_and_port);
    servers.filter(|(host, port)| is_host(host) && *port != 0).take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_host_and_port() {
        assert_eq!(host_and_port("mud"), ("mud".into(), 7010));
        assert_eq!(host_and_port("10.0.0.1:7110"), ("10.0.0.1".into(), 7110));
        assert_eq!(host_and_port("mud:x"), ("mud:x".into(), 7010));
    }

    #[test]
    fn a_list_is_bounded_and_leaves_out_what_is_no_server() {
        let servers = servers_in("mud, host05:7020\n;rm -rf /, :7010, a:0\0");
        let expected = [("mud".into(), 7010), ("host05".into(), 7020), ("-rf".into(), 7010)];
        assert_eq!(servers, expected);
        assert_eq!(servers_in(&"mud ".repeat(1_000)).len(), SERVERS_MAX);
    }
}
