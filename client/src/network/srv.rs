//! Servers that the site's DNS names: `_afterglow._udp` SRV records (RFC 2782)
//! in the system's search domains and the host's own domain.

use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, net::runtime::TokioRuntimeProvider};
use std::time::Duration;

/// The record's name, before the domain.
const SERVICE: &str = "_afterglow._udp";
/// The most domains that are asked.
const DOMAINS_MAX: usize = 6;
/// The most records that are taken, of all domains together.
const RECORDS_MAX: usize = 32;
/// How long each name server has.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A server that a record names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    priority: u16,
    weight: u16,
    pub(super) port: u16,
    pub(super) target: String,
}

/// Asks for the records; gives the servers in the order in which they are to
/// be tried. `random_below` gives a number below another one. Sites without
/// such records are the rule, so what fails gives no servers and no error.
pub(super) async fn look_up(random_below: impl FnMut(u64) -> u64) -> Vec<Record> {
    // Without resolv.conf there is no DNS.
    let Ok((config, mut options)) = read_system_conf() else { return Vec::new() };
    options.timeout = TIMEOUT;
    options.attempts = 2;
    let names = service_names(config.search(), config.domain());
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let Ok(resolver) = builder.build() else { return Vec::new() };
    let mut records = Vec::new();
    for name in names {
        let Ok(lookup) = resolver.srv_lookup(name).await else { continue };
        records.extend(lookup.answers().iter().filter_map(|answer| match &answer.data {
            RData::SRV(srv) => record(srv.priority, srv.weight, srv.port, &srv.target.to_utf8()),
            _ => None,
        }));
        records.truncate(RECORDS_MAX);
    }
    in_order(records, random_below)
}

/// The names to ask for, each once.
fn service_names(search: &[Name], domain: Option<&Name>) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for domain in search.iter().chain(domain) {
        // A search list may hold the root, which has no such record.
        let name = Name::from_ascii(SERVICE).and_then(|name| name.append_domain(domain));
        if let Ok(mut name) = name
            && !domain.is_root()
            && names.len() < DOMAINS_MAX
        {
            // It is whole: the search list is not to be added once more.
            name.set_fqdn(true);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// A record that can be used. The target "." says that there is no service.
fn record(priority: u16, weight: u16, port: u16, target: &str) -> Option<Record> {
    let target = target.trim_end_matches('.');
    let usable = port != 0 && super::server_list::is_host(target);
    usable.then(|| Record { priority, weight, port, target: target.to_owned() })
}

/// Lower priorities first; within one by chance, as their weights have it
/// (RFC 2782, "The weight field").
fn in_order(mut records: Vec<Record>, mut random_below: impl FnMut(u64) -> u64) -> Vec<Record> {
    // Those without weight first, so that they have a small chance too.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let same = records.iter().take_while(|record| record.priority == priority);
        let weights: Vec<u64> = same.map(|record| u64::from(record.weight)).collect();
        let chosen = random_below(weights.iter().sum::<u64>() + 1);
        let mut sum = 0;
        let index = weights.iter().position(|weight| {
            sum += weight;
            sum >= chosen
        });
        ordered.push(records.remove(index.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(all: &[(u16, u16, &str)]) -> Vec<Record> {
        all.iter().filter_map(|(p, w, target)| record(*p, *w, 7010, target)).collect()
    }

    #[test]
    fn lower_priorities_come_first_and_weights_decide_by_chance() {
        let all =
            records(&[(20, 0, "spare"), (10, 1, "small."), (10, 9, "large."), (10, 0, "none")]);
        let mut state = 1u64;
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..1_100 {
            let ordered = in_order(all.clone(), |below| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            });
            assert_eq!(ordered.len(), 4);
            assert_eq!(ordered[3].target, "spare");
            *first.entry(ordered[0].target.clone()).or_insert(0) += 1;
        }
        // The chances are 9, 1 and 1 in 11.
        assert!((830..970).contains(&first["large"]), "{first:?}");
        assert!((60..145).contains(&first["small"]) && first["none"] < 145, "{first:?}");
    }

    #[test]
    fn what_names_no_server_is_left_out() {
        let all = [(1, 1, "."), (1, 1, "a b"), (1, 1, "mud.example.org.")];
        let targets: Vec<_> = records(&all).into_iter().map(|record| record.target).collect();
        assert_eq!(targets, ["mud.example.org"]);
        assert_eq!(record(1, 1, 0, "mud"), None);
    }

    #[test]
    fn each_domain_is_asked_once_and_the_root_never() {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let search = [name("a.example."), name("."), name("b.example")];
        let names = service_names(&search, Some(&name("a.example.")));
        let texts: Vec<String> = names.iter().map(Name::to_utf8).collect();
        assert_eq!(texts, ["_afterglow._udp.a.example.", "_afterglow._udp.b.example."]);
        let many: Vec<Name> = (0..20).map(|n| name(&format!("d{n}.example."))).collect();
        assert_eq!(service_names(&many, None).len(), DOMAINS_MAX);
    }
}
