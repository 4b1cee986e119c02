//! A text as a QR code of terminal characters: two rows of dots a line.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The code, dark on light whatever the terminal's colours are; `None` when the text is too long for one.
pub(crate) fn qr_text(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L).ok()?;
    let drawn = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .quiet_zone(true)
        .build();
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_fits_and_a_book_does_not() {
        assert!(qr_text(&"a".repeat(1500)).is_some());
        assert!(qr_text(&"a".repeat(5000)).is_none());
    }
}
