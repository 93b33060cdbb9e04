//! Pointer buttons and the wheel, as the session wants them.

use afterglow_wire::input::{BUTTON_MAX, InputEvent, WHEEL_STEPS_MAX};
use std::collections::BTreeSet;
use winit::event::{ElementState, MouseButton, MouseScrollDelta};

/// How far a touchpad moves for one step of a wheel, in points.
const POINTS_PER_STEP: f64 = 40.0;

/// The buttons that the session believes to be down.
#[derive(Debug, Default)]
pub struct Buttons {
    held: BTreeSet<u8>,
}

impl Buttons {
    /// A button changed; tells what the session is to be told.
    pub fn change(
        &mut self,
        button: MouseButton,
        pressed: bool,
        to_session: bool,
    ) -> Option<InputEvent> {
        let button = match button {
            MouseButton::Left => 1,
            MouseButton::Middle => 2,
            MouseButton::Right => 3,
            MouseButton::Back => 8,
            MouseButton::Forward => 9,
            MouseButton::Other(number) => {
                u8::try_from(number).ok().filter(|number| (10..=BUTTON_MAX).contains(number))?
            }
        };
        let changed = match pressed {
            true => to_session && self.held.insert(button),
            false => self.held.remove(&button),
        };
        changed.then_some(InputEvent::Button { button, pressed })
    }

    /// The session is gone, and with it what it believed.
    pub fn forget(&mut self) {
        self.held.clear();
    }
}

/// Gathers parts of steps until they are whole ones.
#[derive(Debug, Default)]
pub struct Wheel {
    x: f64,
    y: f64,
    click: Option<ElementState>,
}

impl Wheel {
    /// A wheel button (X's 4 to 7) changed, as the device itself tells it, in
    /// front of the [`Wheel::turned`] that it causes.
    ///
    /// A wheel that is no axis but buttons, such as XTEST's, makes winit say
    /// `MouseWheel` when the button goes down and again when it comes up. The
    /// second is no step. Wheels that are axes cause none of these.
    pub fn button(&mut self, state: ElementState) {
        self.click = Some(state);
    }

    /// The pointer moved: what a button did elsewhere is over.
    pub fn moved(&mut self) {
        self.click = None;
    }

    /// The wheel turned; tells what the session is to be told.
    pub fn turned(&mut self, delta: MouseScrollDelta, scale_factor: f64) -> Option<InputEvent> {
        if self.click.take() == Some(ElementState::Released) {
            return None;
        }
        let (x, y) = match delta {
            MouseScrollDelta::LineDelta(x, y) => (f64::from(x), f64::from(y)),
            MouseScrollDelta::PixelDelta(pixels) => {
                let step = POINTS_PER_STEP * scale_factor;
                (pixels.x / step, pixels.y / step)
            }
        };
        // The window system moves the content, the session the view.
        let steps_x = whole_steps(&mut self.x, -x);
        let steps_y = whole_steps(&mut self.y, -y);
        (steps_x != 0 || steps_y != 0).then_some(InputEvent::Wheel { steps_x, steps_y })
    }
}

fn whole_steps(gathered: &mut f64, more: f64) -> i16 {
    if !more.is_finite() {
        return 0;
    }
    if *gathered * more < 0.0 {
        *gathered = 0.0;
    }
    // A hair of tolerance: ten times a tenth is a whole step.
    let sum = *gathered + more;
    let whole = (sum + sum.signum() * 1e-4).trunc();
    *gathered = sum - whole;
    let max = f64::from(WHEEL_STEPS_MAX);
    whole.clamp(-max, max) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use winit::dpi::PhysicalPosition;

    fn lines(wheel: &mut Wheel, y: f32) -> i16 {
        match wheel.turned(MouseScrollDelta::LineDelta(0.0, y), 1.0) {
            Some(InputEvent::Wheel { steps_x: 0, steps_y }) => steps_y,
            None => 0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_of_steps_become_whole_ones() {
        let mut wheel = Wheel::default();
        let steps: Vec<_> = (0..10).map(|_| lines(&mut wheel, -0.1)).collect();
        assert_eq!(steps, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(lines(&mut wheel, 2.5), -2);
        // What is left over is forgotten when the direction changes.
        assert_eq!(lines(&mut wheel, -0.6), 0);
        assert_eq!(lines(&mut wheel, -0.4), 1);
    }

    #[test]
    fn pixels_are_scaled_and_bounded() {
        let mut wheel = Wheel::default();
        let pixels = |x, y| MouseScrollDelta::PixelDelta(PhysicalPosition::new(x, y));
        assert_eq!(wheel.turned(pixels(0.0, -79.0), 2.0), None);
        let step = InputEvent::Wheel { steps_x: 0, steps_y: 1 };
        assert_eq!(wheel.turned(pixels(0.0, -1.0), 2.0), Some(step));
        let far = InputEvent::Wheel { steps_x: -100, steps_y: 0 };
        assert_eq!(wheel.turned(pixels(1e9, 0.0), 1.0), Some(far));
        assert_eq!(wheel.turned(pixels(f64::NAN, f64::INFINITY), 1.0), None);
    }

    #[test]
    fn a_click_of_a_wheel_made_of_buttons_is_one_step() {
        let mut wheel = Wheel::default();
        wheel.button(ElementState::Pressed);
        assert_eq!(lines(&mut wheel, 1.0), -1);
        wheel.button(ElementState::Released);
        assert_eq!(lines(&mut wheel, 1.0), 0);
        // A click over another window causes nothing here, and costs nothing.
        wheel.button(ElementState::Released);
        wheel.moved();
        assert_eq!(lines(&mut wheel, 1.0), -1);
    }

    #[test]
    fn buttons_have_xs_numbers_and_come_up_once() {
        let mut buttons = Buttons::default();
        let down = Some(InputEvent::Button { button: 3, pressed: true });
        assert_eq!(buttons.change(MouseButton::Right, true, true), down);
        let up = Some(InputEvent::Button { button: 3, pressed: false });
        assert_eq!(buttons.change(MouseButton::Right, false, false), up);
        assert_eq!(buttons.change(MouseButton::Right, false, true), None);
        assert_eq!(buttons.change(MouseButton::Left, true, false), None);
        assert_eq!(buttons.change(MouseButton::Other(300), true, true), None);
    }
}
