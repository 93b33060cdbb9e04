//! The window's size: the session follows it as far as it can, and the user is
//! told where it cannot.

use super::Connection;
use afterglow_wire::display::{Resize, SizeLimited};

impl Connection {
    /// Tells the session the window's size if it does not know it.
    pub(super) fn send_size(&mut self) {
        let Some(size) = self.screen.as_ref().map(|screen| screen.size) else { return };
        if let Some(display) = &mut self.display
            && display.is_live()
            && display.told_size != size
        {
            display.told_size = size;
            self.send_live(Resize { screen: size });
        }
    }

    /// The window is larger than the session's screen can be: its picture is
    /// scaled, or does not fill the window. The user hears it once for each
    /// link, however often the session says it.
    pub(super) fn size_limited(&mut self, limited: SizeLimited) {
        let Some(display) = &mut self.display else { return };
        if std::mem::replace(&mut display.limit_told, true) {
            return;
        }
        let host = display.host().clone();
        let (width_px, height_px) = (limited.max.width_px(), limited.max.height_px());
        self.give_notice(format!(
            "This window is larger than a session on {host} can be: {width_px} × {height_px} \
             pixels. Its picture is not as sharp, or does not fill the window."
        ));
    }
}
