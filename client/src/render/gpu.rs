//! The adapter and its device.

use std::sync::Arc;

/// What to do when there is nothing to draw with.
const DRIVERS_WANTED: &str = "install a Vulkan or OpenGL driver (in software: Debian's libvulkan1 \
     and mesa-vulkan-drivers), and see that WGPU_BACKEND, if set, names one of them";

/// Why there is nothing to draw with.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// No adapter at all.
    #[error("no graphics adapter was found ({0}); {DRIVERS_WANTED}")]
    NoAdapter(wgpu::RequestAdapterError),
    /// The adapter gives no device.
    #[error("the graphics adapter {adapter} cannot be used: {error}")]
    NoDevice {
        /// Its name.
        adapter: String,
        /// Why not.
        error: wgpu::RequestDeviceError,
    },
    /// The window cannot be drawn on.
    #[error("no graphics driver can draw on the window ({0}); {DRIVERS_WANTED}")]
    NoSurface(wgpu::CreateSurfaceError),
    /// The adapter and the window do not fit.
    #[error("the graphics adapter {adapter} cannot show anything on this window")]
    SurfaceUnsupported {
        /// Its name.
        adapter: String,
    },
}

/// What went wrong with a device, for whoever can do something about it.
#[derive(Debug, Clone)]
pub enum GpuTrouble {
    /// The device is gone, and everything on it.
    Lost(String),
    /// A command was refused: a fault in this program.
    Refused(String),
}

/// An adapter, its device and its queue.
#[derive(Debug, Clone)]
pub struct Gpu {
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// Its device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
}

impl Gpu {
    /// The adapter that suits the window best, else any that can show
    /// something on it; the best of all if there is no window.
    pub fn adapter(
        instance: &wgpu::Instance,
        surface: Option<&wgpu::Surface<'_>>,
    ) -> Result<wgpu::Adapter, GpuError> {
        let request = |force_fallback_adapter| {
            pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
                force_fallback_adapter,
                compatible_surface: surface,
                ..Default::default()
            }))
        };
        request(false).or_else(|_| request(true)).map_err(GpuError::NoAdapter)
    }

    /// An adapter in software that shows nothing, for tests: the same bytes
    /// on every machine.
    pub fn in_software(
        trouble: impl Fn(GpuTrouble) + Clone + Send + Sync + 'static,
    ) -> Result<Self, GpuError> {
        let instance =
            wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle().with_env());
        let options =
            wgpu::RequestAdapterOptions { force_fallback_adapter: true, ..Default::default() };
        let adapter =
            pollster::block_on(instance.request_adapter(&options)).map_err(GpuError::NoAdapter)?;
        Gpu::open(adapter, trouble)
    }

    /// The adapter's device.
    pub fn open(
        adapter: wgpu::Adapter,
        trouble: impl Fn(GpuTrouble) + Clone + Send + Sync + 'static,
    ) -> Result<Self, GpuError> {
        let info = adapter.get_info();
        tracing::info!(adapter = %info.name, backend = %info.backend, kind = ?info.device_type, "drawing with");
        let limits = wgpu::Limits::downlevel_webgl2_defaults().using_resolution(adapter.limits());
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("afterglow"),
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        }))
        .map_err(|error| GpuError::NoDevice { adapter: info.name, error })?;
        let lost = trouble.clone();
        device.set_device_lost_callback(move |reason, text| {
            // `Destroyed` is what our own dropping of a device gives.
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost(GpuTrouble::Lost(text));
            }
        });
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            trouble(GpuTrouble::Refused(error.to_string()));
        }));
        Ok(Gpu { adapter, device, queue })
    }
}

/// True if it is a program that only plays a graphics card.
pub fn is_software(adapter: &wgpu::Adapter) -> bool {
    adapter.get_info().device_type == wgpu::DeviceType::Cpu
}
