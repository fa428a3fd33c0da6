//! The answer of the device authorization endpoint: RFC 8628, section 3.2. Never cached: it holds both codes.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::UserCode;
use crate::secret::Secret;

/// What a device is told.
#[derive(Debug)]
pub struct DeviceAuthorizationResponse {
    /// What it comes with to the token endpoint.
    pub device_code: Secret,
    /// What it shows to the person.
    pub user_code: UserCode,
    /// Where the person types it.
    pub verification_uri: String,
    /// How long both codes live, in seconds.
    pub expires_in: u64,
    /// How long it waits between two requests, in seconds.
    pub interval: u64,
}

impl Serialize for DeviceAuthorizationResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (uri, code) = (&self.verification_uri, &self.user_code);
        let mut json = serializer.serialize_map(None)?;
        self.device_code.expose(|device_code| json.serialize_entry("device_code", device_code))?;
        json.serialize_entry("user_code", &code.to_string())?;
        json.serialize_entry("verification_uri", uri)?;
        json.serialize_entry("verification_uri_complete", &format!("{uri}?user_code={code}"))?;
        json.serialize_entry("expires_in", &self.expires_in)?;
        json.serialize_entry("interval", &self.interval)?;
        json.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of section 3.2, with our life.
    #[test]
    fn the_example_of_the_standard_is_written() {
        let response = DeviceAuthorizationResponse {
            device_code: Secret::new("GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS".to_owned()),
            user_code: UserCode::parse("WDJB-MJHT").unwrap(),
            verification_uri: "https://example.com/device".to_owned(),
            expires_in: 600,
            interval: 5,
        };
        assert_eq!(
            serde_json::to_value(&response).unwrap(),
            serde_json::json!({
                "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
                "user_code": "WDJB-MJHT",
                "verification_uri": "https://example.com/device",
                "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT",
                "expires_in": 600,
                "interval": 5,
            })
        );
        let debug = format!("{response:?}");
        assert!(!debug.contains("GmRhmhcxhwAzkoEqiMEg") && !debug.contains("WDJB"), "{debug}");
    }
}
