//! What the session's user should know, in one text.

use super::restarts::Restarts;
use std::time::Duration;

/// So many workers that die young, one after the other, are a crash loop.
const CRASH_LOOP: u32 = 3;

/// The parts of the text; each may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Troubles {
    /// What is the matter with the home, or with the user's own configuration.
    pub home: String,
    /// What is the matter with the desktop.
    pub desktop: String,
    /// What is the matter with the picture.
    pub picture: String,
}

impl Troubles {
    /// All of them.
    pub fn text(&self) -> String {
        let parts = [&self.picture, &self.desktop, &self.home];
        let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
        parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(". ")
    }
}

/// What to say of a worker that died and is started again after this wait;
/// nothing before it is a crash loop.
pub fn of_worker(restarts: &Restarts, wait: Duration) -> Option<String> {
    let times = restarts.died_young();
    (times >= CRASH_LOOP).then(|| {
        format!(
            "The picture's process has failed {times} times; next try in {:.1} s. Your programs \
             keep running",
            wait.as_secs_f32()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_told_from_the_third_death_on() {
        let mut restarts = Restarts::default();
        let mut said = || {
            let wait = restarts.died(Duration::from_millis(5));
            of_worker(&restarts, wait)
        };
        assert_eq!((said(), said()), (None, None));
        let third = said().unwrap();
        assert!(third.contains("failed 3 times") && third.contains("keep running"), "{third}");
        restarts.lives();
        assert_eq!(of_worker(&restarts, Duration::ZERO), None);
    }

    #[test]
    fn the_text_is_empty_if_all_is_well_and_holds_all_that_is_not() {
        assert_eq!(Troubles::default().text(), "");
        let both = Troubles { home: "H".into(), picture: "P".into(), ..Troubles::default() };
        assert_eq!(both.text(), "P. H");
    }
}
