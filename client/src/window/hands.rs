//! What the user's hands do: it goes to the session or to the on-screen display,
//! or the DTU itself does something about it.

use super::App;
use super::idle::Held;
use super::keys::{self, HotKey, KeyChange, KeyOutcome};
use crate::osd;
use crate::view::{Ask, FromWindow};
use afterglow_wire::input::InputEvent;
use winit::event::{ElementState, KeyEvent, MouseButton, MouseScrollDelta};
use winit::event_loop::ActiveEventLoop;
use winit::keyboard::ModifiersState;
use winit::platform::scancode::PhysicalKeyExtScancode;
use winit::window::Fullscreen;

impl App {
    pub(super) fn key(&mut self, event_loop: &ActiveEventLoop, event: &KeyEvent) {
        let now_ms = self.now_ms();
        let Some(shown) = &mut self.shown else { return };
        let pressed = event.state == ElementState::Pressed;
        let scancode = event.physical_key.to_scancode().unwrap_or(0);
        if !self.idle.changed(Held::Key(scancode), pressed, now_ms) {
            return;
        }
        let chord = ModifiersState::CONTROL | ModifiersState::ALT | ModifiersState::SHIFT;
        let outcome = self.keys.change(KeyChange {
            scancode,
            pressed,
            repeat: event.repeat,
            letter: keys::letter(event),
            chord: self.modifiers.contains(chord),
            to_session: shown.input_to_session(),
        });
        match outcome {
            KeyOutcome::Send(event) => self.send_input(event),
            KeyOutcome::HotKey(hot_key) => self.hot_key(event_loop, hot_key),
            KeyOutcome::Keep => {
                let key = keys::osd_key(event, pressed, self.modifiers);
                let text = keys::osd_text(event, pressed);
                key.into_iter().chain(text).for_each(|event| self.osd_event(event));
            }
        }
    }

    /// The session is told, and the diagnostics know.
    fn send_input(&mut self, event: InputEvent) {
        self.diagnostics.input(&event, self.now_us());
        self.outbox.send(FromWindow::Input(event));
    }

    fn hot_key(&mut self, event_loop: &ActiveEventLoop, hot_key: HotKey) {
        match hot_key {
            HotKey::Card => self.outbox.send(FromWindow::Ask(Ask::ToggleCard)),
            HotKey::Fullscreen => {
                if let Some(shown) = &self.shown {
                    let full = shown.window.fullscreen().is_some();
                    let next = (!full).then_some(Fullscreen::Borderless(None));
                    shown.window.set_fullscreen(next);
                }
            }
            HotKey::Quit => self.close(event_loop),
            HotKey::Panel => self.outbox.send(FromWindow::Ask(Ask::TogglePanel)),
            HotKey::Diagnostics => self.toggle_diagnostics(),
        }
    }

    pub(super) fn osd_event(&mut self, event: egui::Event) {
        if let Some(shown) = &mut self.shown
            && shown.input_to_osd()
        {
            shown.osd_event(event);
        }
    }

    pub(super) fn pointer_moved(&mut self, x: f64, y: f64) {
        self.idle.used(self.now_ms());
        self.wheel.moved();
        self.pointer_px = Some((x, y));
        self.tell_pointer();
        let moved = egui::Event::PointerMoved(self.pointer_points());
        self.osd_event(moved);
    }

    /// Tells the session where the pointer is unless it knows, also when it
    /// came there before there was a session, or while a panel had it.
    pub(super) fn tell_pointer(&mut self) {
        let (Some(shown), Some((x, y))) = (&self.shown, self.pointer_px) else { return };
        if !shown.input_to_session() {
            return;
        }
        let at = shown.picture_pixel(x, y).filter(|at| self.pointer_told != Some(*at));
        if let Some((x_px, y_px)) = at {
            self.pointer_told = at;
            self.outbox.pointer(InputEvent::Pointer { x_px, y_px });
        }
    }

    /// The pointer's place for the on-screen display.
    fn pointer_points(&self) -> egui::Pos2 {
        let (x, y) = self.pointer_px.unwrap_or_default();
        self.shown.as_ref().map_or(egui::Pos2::ZERO, |shown| shown.osd_place(x, y))
    }

    pub(super) fn button(&mut self, state: ElementState, button: MouseButton) {
        let now_ms = self.now_ms();
        let Some(shown) = &mut self.shown else { return };
        let pressed = state == ElementState::Pressed;
        if !self.idle.changed(Held::Button(button), pressed, now_ms) {
            return;
        }
        if let Some(event) = self.buttons.change(button, pressed, shown.input_to_session()) {
            self.send_input(event);
        }
        if button == MouseButton::Left {
            self.osd_event(egui::Event::PointerButton {
                pos: self.pointer_points(),
                button: egui::PointerButton::Primary,
                pressed,
                modifiers: egui::Modifiers::NONE,
            });
        }
    }

    pub(super) fn wheel_turned(&mut self, delta: MouseScrollDelta) {
        if self.idle.used(self.now_ms()) {
            return;
        }
        let Some(shown) = &mut self.shown else { return };
        let turned = self.wheel.turned(delta, shown.window.scale_factor());
        let Some(event @ InputEvent::Wheel { steps_x, steps_y }) = turned else { return };
        if shown.input_to_session() {
            return self.send_input(event);
        }
        // The pointer may not have moved since the panel came up beneath it.
        self.osd_event(egui::Event::PointerMoved(self.pointer_points()));
        self.osd_event(osd::wheel(steps_x, steps_y));
    }
}
