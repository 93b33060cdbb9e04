//! The catalogue of services: the `[[service]]` tables of `afterglow.toml` and
//! of a user's own `session.toml`.

use super::{ConfigError, Source, desktop};
use afterglow_wire::codec::put_list;
use afterglow_wire::limits::{SERVICES_MAX, TEXT_BYTES_MAX};
use afterglow_wire::local::CommandLine;
use afterglow_wire::service::{ServiceName, ServiceSpec};
use bytes::BytesMut;
use serde::Deserialize;
use toml::Spanned;

/// The longest catalogue, in bytes: it has to fit into a keeper's description.
const CATALOGUE_BYTES_MAX: usize = 16 * 1024;

/// One table, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceTable {
    name: String,
    command: Vec<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    start: bool,
    #[serde(default)]
    host: String,
    #[serde(default)]
    on_connect: Vec<String>,
    #[serde(default)]
    on_disconnect: Vec<String>,
}

/// All of them, checked.
pub(super) fn catalogue(
    source: &Source<'_>,
    tables: Vec<Spanned<ServiceTable>>,
) -> Result<Vec<ServiceSpec>, ConfigError> {
    let mut services: Vec<ServiceSpec> = Vec::new();
    for table in tables {
        let offset = table.span().start;
        let error = |text| source.error(offset, Some("service"), text);
        if services.len() == SERVICES_MAX {
            return Err(error(format!("more than {SERVICES_MAX} services")));
        }
        let service = service(table.into_inner()).map_err(error)?;
        if services.iter().any(|other| other.name == service.name) {
            return Err(error(format!("a second service {:?}", service.name.as_str())));
        }
        services.push(service);
        if !fits(&services) {
            let text = "the services together have too long command lines; put them into scripts";
            return Err(error(text.into()));
        }
    }
    Ok(services)
}

/// True if a keeper can be told of all of them.
pub(super) fn fits(services: &[ServiceSpec]) -> bool {
    let mut bytes = BytesMut::new();
    put_list(&mut bytes, services);
    services.len() <= SERVICES_MAX && bytes.len() <= CATALOGUE_BYTES_MAX
}

fn service(table: ServiceTable) -> Result<ServiceSpec, String> {
    let name: ServiceName = table.name.parse().map_err(|e| format!("{e}"))?;
    let in_it = |key: &str, text: String| format!("{:?}: {key}: {text}", name.as_str());
    let maybe = |key: &str, words: Vec<String>| match words.is_empty() {
        true => Ok(CommandLine(words)),
        false => desktop(words).map(CommandLine).map_err(|text| in_it(key, text)),
    };
    Ok(ServiceSpec {
        command: CommandLine(desktop(table.command).map_err(|text| in_it("command", text))?),
        required: table.required,
        start: table.start,
        host: host(table.host).map_err(|text| in_it("host", text))?,
        on_connect: maybe("on_connect", table.on_connect)?,
        on_disconnect: maybe("on_disconnect", table.on_disconnect)?,
        name,
    })
}

/// What `ssh` takes for a destination, and never for an option.
fn host(text: String) -> Result<String, String> {
    let fits = text.len() <= TEXT_BYTES_MAX
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@:[]%".contains(&b));
    match fits {
        true => Ok(text),
        false => Err(format!("{text:?} is not HOST or USER@HOST")),
    }
}
