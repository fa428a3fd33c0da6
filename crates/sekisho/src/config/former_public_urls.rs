//! `[[former_public_url]]`: names the house had before, and until when they are answered (product.md, P-23).

use jiff::civil::Date;
use protocol::world::Timestamp;
use toml::de::DeValue;

use super::parse;
use super::reader::Section;
use super::settings::settings;

settings! {
    /// A `public_url` that this house had before. Clients that know it go on as before until the date: it is answered
    /// with its own issuer and resource identifiers, so it must still lead here. After the date it is another host
    /// like any other. Without an entry, a start with another `public_url` over existing data is refused.
    FormerPublicUrl = "[[former_public_url]]" {
        /// The former `public_url`, letter for letter.
        url: String = required, "https://HOST, as `public_url` was", parse::public_url;
        /// The last day on which it is answered, in UTC.
        accepted_until: Timestamp = required, "a day such as \"2027-01-31\"", end_of_day;
    }
}

impl FormerPublicUrl {
    /// Reads every `[[former_public_url]]`.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Option<Self>> {
        let sections = root.tables("former_public_url").into_iter();
        let read = sections.map(|mut section| {
            let former = Self::read(&mut section);
            section.finish();
            former
        });
        read.collect()
    }
}

/// The first moment after a day, written as a date with or without quotes.
fn end_of_day(value: &DeValue<'_>) -> Result<Timestamp, String> {
    let written = match value {
        DeValue::Datetime(written) => written.to_string(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => parse::text(value)?,
    };
    let date = Some(written).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
    let next = date.and_then(|date| date.tomorrow().ok()).ok_or("is not a day")?;
    let start = jiff::tz::Offset::UTC.to_timestamp(next.at(0, 0, 0, 0)).map_err(|_| "is not a day")?;
    Ok(Timestamp::from_micros(start.as_microsecond()))
}
