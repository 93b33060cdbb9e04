//! The renderer and the on-screen display against golden pictures, in
//! software: no window, no graphics card, the same bytes on every machine.
//!
//! `AFTERGLOW_RECORD_SNAPSHOTS=1 cargo test -p afterglow-client --test
//! snapshots` records the goldens anew; look at each before it is committed.

mod commands;
mod figures;
mod golden;
mod osd;
mod packed;
mod picture;
mod random;
mod sessions;
mod shaders;

use afterglow_client::render::gpu::Gpu;
use std::sync::OnceLock;

/// One device for all tests. Whatever goes wrong on it fails them.
fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    let open = || {
        let gpu = Gpu::in_software(|trouble| panic!("{trouble:?}"))
            .expect("these tests need lavapipe (Debian: libvulkan1 mesa-vulkan-drivers)");
        assert_eq!(gpu.adapter.get_info().device_type, wgpu::DeviceType::Cpu);
        gpu
    };
    GPU.get_or_init(open).clone()
}
