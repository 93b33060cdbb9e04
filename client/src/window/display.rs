//! The connection to the window system, and the loop that runs a window on it.

use super::compare::Comparer;
use super::idle::Idle;
use super::keys::Keys;
use super::outbox::Outbox;
use super::pointer::{Buttons, Wheel};
use super::power::Power;
use super::{App, Options, Wake, WindowError};
use crate::diagnostics::Diagnostics;
use crate::view::{FromWindow, ToWindow};
use std::time::Instant;
use tokio::sync::mpsc;
use winit::event_loop::{DeviceEvents, EventLoop};
use winit::keyboard::ModifiersState;

/// The connection to the window system, before there is a window.
pub struct Display {
    event_loop: EventLoop<Wake>,
}

impl Display {
    /// Connects to the window system.
    pub fn connect() -> Result<Self, WindowError> {
        let event_loop = EventLoop::with_user_event().build().map_err(|error| {
            // Its text is about winit's sources, and of use to nobody else.
            tracing::debug!(%error, "the window system refuses");
            WindowError::NoDisplay(displays_named())
        })?;
        Ok(Display { event_loop })
    }

    /// What the network tells the window, it tells through this.
    pub fn sender(&self) -> Box<dyn Fn(ToWindow) + Send + Sync> {
        let proxy = self.event_loop.create_proxy();
        Box::new(move |message| {
            // It fails once the window is closed: nobody is left to be told.
            let _ = proxy.send_event(Wake::Network(message));
        })
    }

    /// Opens the window and runs it until it is closed.
    pub fn run(
        self,
        options: Options,
        to_network: mpsc::Sender<FromWindow>,
    ) -> Result<(), WindowError> {
        let proxy = self.event_loop.create_proxy();
        let mut app = App {
            idle: Idle::new(options.dark_after_ms, 0),
            power: Power::default(),
            options,
            proxy,
            outbox: Outbox::new(to_network),
            started: Instant::now(),
            shown: None,
            keys: Keys::default(),
            buttons: Buttons::default(),
            wheel: Wheel::default(),
            modifiers: ModifiersState::empty(),
            pointer_px: None,
            pointer_told: None,
            diagnostics: Diagnostics::default(),
            comparer: Comparer::default(),
            devices_lost: 0,
            again_at_ms: None,
            failed: None,
        };
        self.event_loop.listen_device_events(DeviceEvents::Always);
        let ended = self.event_loop.run_app(&mut app);
        if app.idle.is_dark() {
            app.power.on();
        }
        match app.failed {
            Some(error) => Err(error),
            None => ended.map_err(WindowError::Loop),
        }
    }
}

/// What the environment says about display servers.
fn displays_named() -> String {
    let named = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().filter_map(|name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(format!("{name}={value} does not answer"))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        "neither DISPLAY nor WAYLAND_DISPLAY is set".to_owned()
    } else {
        named.join(", ")
    }
}
