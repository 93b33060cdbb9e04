//! Which workloads are measured, and for how long.

use anyhow::{Context, Result, bail, ensure};

/// How long a timed workload takes, in seconds, unless `SECS` says otherwise.
const SECS: u64 = 10;

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// From a key to another colour in the whole window.
    Latency,
    /// From a key to its letter in xterm.
    Letter,
    /// From nothing to the whole picture.
    Connect,
    /// Keys typed in xterm.
    Typing,
    /// Lines scrolled in xterm.
    Scroll,
    /// A window dragged.
    Drag,
    /// Pages, one a second.
    Pages,
    /// A video.
    Video,
    /// Nothing happens.
    Idle,
}

/// All of them, and their names in `WORKLOADS`.
const WORKLOADS: [(&str, Workload); 9] = [
    ("latency", Workload::Latency),
    ("letter", Workload::Letter),
    ("connect", Workload::Connect),
    ("typing", Workload::Typing),
    ("scroll", Workload::Scroll),
    ("drag", Workload::Drag),
    ("pages", Workload::Pages),
    ("video", Workload::Video),
    ("idle", Workload::Idle),
];

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long a timed workload takes, in seconds.
    pub secs: u64,
    /// Which quality Afterglow is configured for, if not the usual.
    pub quality: Option<String>,
    workloads: Vec<Workload>,
    products: Option<String>,
}

impl Plan {
    /// As `SECS`, `WORKLOADS`, `PRODUCTS` and `QUALITY` say.
    pub fn from_environment() -> Result<Self> {
        let secs = crate::bench::from_environment("SECS", SECS)?;
        let workloads = std::env::var("WORKLOADS").ok();
        let products = std::env::var("PRODUCTS").ok();
        let quality = std::env::var("QUALITY").ok();
        Ok(Plan { quality, ..Plan::new(secs, workloads.as_deref(), products)? })
    }

    pub(super) fn new(
        secs: u64,
        workloads: Option<&str>,
        products: Option<String>,
    ) -> Result<Self> {
        ensure!((1..=600).contains(&secs), "SECS is 1 to 600");
        let all = WORKLOADS.map(|(name, _)| name).join(",");
        let named = |name: &str| {
            let found = WORKLOADS.iter().find(|(known, _)| *known == name);
            let (_, workload) =
                found.with_context(|| format!("there is no workload {name:?}: {all}"))?;
            Ok(*workload)
        };
        let workloads = workloads.unwrap_or(&all);
        let workloads = workloads.split(',').map(str::trim).map(named).collect::<Result<_>>()?;
        if let Some(unknown) = products
            .iter()
            .flat_map(|names| names.split(','))
            .find(|name| !["afterglow", "tigervnc"].contains(&name.trim()))
        {
            bail!("there is no product {unknown:?}: afterglow,tigervnc");
        }
        Ok(Plan { secs, quality: None, workloads, products })
    }

    /// True if this workload is measured.
    pub fn has(&self, workload: Workload) -> bool {
        self.workloads.contains(&workload)
    }

    /// True if this product is measured.
    pub fn has_product(&self, product: &str) -> bool {
        let products = self.products.as_deref();
        products.is_none_or(|names| names.split(',').any(|name| name.trim() == product))
    }

    /// How many keys are pressed for a latency: 400 in a full run.
    pub fn keys(&self) -> u64 {
        self.secs * 40
    }

    /// How often a card is inserted.
    pub fn connects(&self) -> u64 {
        (self.secs * 2).min(20)
    }

    /// How often a viewer is started.
    pub fn starts(&self) -> u64 {
        self.secs.min(10)
    }

    /// How many keys are typed in xterm, ten a second: 100 in a full run.
    pub fn typed_keys(&self) -> u64 {
        self.secs * 10
    }

    /// How many lines are scrolled: 20,000 in a full run.
    pub fn lines(&self) -> u64 {
        self.secs.min(SECS) * 2_000
    }

    /// For how long a window is dragged: 5 s in a full run.
    pub fn drag_ms(&self) -> u64 {
        self.secs * 500
    }

    /// How many pages there are, one a second: ten in a full run.
    pub fn pages(&self) -> u64 {
        self.secs
    }

    /// For how long the video runs: 10 s in a full run.
    pub fn video_ms(&self) -> u64 {
        self.secs * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_what_was_named() {
        let all = Plan::new(10, None, None).unwrap();
        assert!(WORKLOADS.iter().all(|(_, workload)| all.has(*workload)));
        assert!(all.has_product("afterglow") && all.has_product("tigervnc"));
        assert_eq!((all.keys(), all.typed_keys(), all.lines()), (400, 100, 20_000));
        let some = Plan::new(3, Some("latency, drag"), Some("afterglow".into())).unwrap();
        assert!(some.has(Workload::Drag) && !some.has(Workload::Video));
        assert!(some.has_product("afterglow") && !some.has_product("tigervnc"));
        assert_eq!((some.keys(), some.lines(), some.drag_ms()), (120, 6_000, 1_500));
        assert!(Plan::new(10, Some("latency,dragg"), None).is_err());
        assert!(Plan::new(10, None, Some("vnc".into())).is_err());
        assert!(Plan::new(0, None, None).is_err());
    }
}
