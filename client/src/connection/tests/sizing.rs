//! A window that is larger than its session can be.

use super::*;

/// What the user was told, each time.
fn notices(dtu: &Dtu) -> Vec<String> {
    let text = |event: &Logged| match event {
        Logged::Notice { text } => Some(text.clone()),
        _ => None,
    };
    dtu.logged.iter().filter_map(text).collect()
}

#[test]
fn the_user_hears_once_for_each_link_what_the_largest_size_is() {
    let limited = SizeLimited { max: Size::new(1920, 1080).unwrap() };
    let mut dtu = Dtu::attached();
    for _ in 0..3 {
        dtu.display(limited);
    }
    assert_eq!(notices(&dtu).len(), 1);
    assert!(notices(&dtu)[0].contains("1920 × 1080"), "{:?}", notices(&dtu));
    assert!(matches!(dtu.badge(), Some(Badge::Notice { .. })));
    dtu.display_dies();
    dtu.control(attach(101, "mud", 1, Origin::Existing));
    dtu.session_comes(None);
    dtu.display(limited);
    assert_eq!(notices(&dtu).len(), 2);
    assert!(dtu.display_open);
}
