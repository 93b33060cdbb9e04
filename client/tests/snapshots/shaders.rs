//! Every WGSL file is one that naga accepts, and none is left out.

use afterglow_client::render::SHADERS;
use std::collections::BTreeSet;

#[test]
fn every_shader_is_valid() {
    for (name, source) in SHADERS {
        let module = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{}", error.emit_to_string_with_path(source, name)));
        let flags = naga::valid::ValidationFlags::all();
        let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
        validator
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
        let entries: BTreeSet<_> =
            module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(entries, BTreeSet::from(["corner", "pixel"]), "{name}");
    }
}

#[test]
fn every_file_is_a_shader_of_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shaders");
    let files: BTreeSet<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let listed: BTreeSet<_> = SHADERS.iter().map(|(name, _)| format!("{name}.wgsl")).collect();
    assert_eq!(files, listed);
}
