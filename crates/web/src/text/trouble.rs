//! The kinds of trouble that a person can be told about. Many reasons share a kind: the reason is for the log, the
//! kind is for what the person can do now.

/// What a person is told when a page cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The sign-in was decided already.
    AlreadyDecided,
    /// The client may not be used here.
    ClientBlocked,
    /// The metadata document of the client cannot be had, or not be believed.
    ClientDocument,
    /// No metadata documents are read from the client's host.
    ClientHostRefused,
    /// The client's request is wrong, and going back to it by itself helps nobody.
    ClientMistake,
    /// The client leads outside, and the MCP server is not for such.
    ClientOutside,
    /// The client is not known, or not any more.
    ClientUnknown,
    /// The provider does not answer.
    ConnectAway,
    /// The way to a provider was begun in another browser.
    ConnectOtherBrowser,
    /// The link or the way to a provider is somebody else's.
    ConnectOtherPerson,
    /// The way to a provider is over.
    ConnectOver,
    /// The provider does not connect.
    ConnectProvider,
    /// The emergency code is not good.
    EmergencyCodeUnknown,
    /// The sign-in took too long.
    Expired,
    /// The form was not made for this sign-in in this browser.
    FormForeign,
    /// Something of ours is broken.
    House,
    /// Something of ours is away for a moment.
    HouseAway,
    /// Too many sign-ins have been begun and not ended.
    HouseBusy,
    /// The address of an MCP server was opened by a browser.
    McpAddress,
    /// The page does not take this method.
    MethodUnknown,
    /// The person may not use this MCP server.
    NotAdmitted,
    /// There is no such page.
    NotFound,
    /// The page is about whoever is signed in, and nobody is.
    NotSignedIn,
    /// Allowed, but nothing was ticked.
    NothingTicked,
    /// The sign-in was started in another browser.
    OtherBrowser,
    /// The person is stopped here.
    PersonDisabled,
    /// The identity provider does not answer.
    ProviderAway,
    /// The identity provider, or the person there, said no.
    ProviderDeclined,
    /// The identity provider knows the person, but the person may not come in here.
    ProviderNotAllowed,
    /// No identity provider is that of the address.
    ProviderUnknown,
    /// The identity provider's answer cannot be trusted.
    ProviderUntrusted,
    /// The request leads to an address that the client never named.
    RedirectUnknown,
    /// The request cannot be read, or lacks what it must have.
    RequestBroken,
    /// What was asked for is not here any more.
    ServerGone,
    /// What the page showed has changed.
    StalePage,
    /// The request is too large.
    TooLarge,
    /// Too many requests.
    TooMany,
    /// The person waits for too many applications.
    TooManyWaiting,
    /// No such sign-in.
    Unknown,
    /// Nobody of that name, on the development page.
    UnknownPerson,
    /// There is no such user code of a device.
    UserCodeUnknown,
    /// The user code of a device was used.
    UserCodeUsed,
    /// The request was meant for another host.
    WrongHost,
}

/// How it is told: what happened, what it means for the person, what to do now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TroubleText {
    pub(crate) happened: &'static str,
    pub(crate) means: &'static str,
    pub(crate) now: &'static str,
}

/// One catalogue's texts for all kinds.
#[derive(Debug)]
pub(crate) struct Troubles {
    pub(crate) already_decided: TroubleText,
    pub(crate) client_blocked: TroubleText,
    pub(crate) client_document: TroubleText,
    pub(crate) client_host_refused: TroubleText,
    pub(crate) client_mistake: TroubleText,
    pub(crate) client_outside: TroubleText,
    pub(crate) client_unknown: TroubleText,
    pub(crate) connect_away: TroubleText,
    pub(crate) connect_other_browser: TroubleText,
    pub(crate) connect_other_person: TroubleText,
    pub(crate) connect_over: TroubleText,
    pub(crate) connect_provider: TroubleText,
    pub(crate) emergency_code_unknown: TroubleText,
    pub(crate) expired: TroubleText,
    pub(crate) form_foreign: TroubleText,
    pub(crate) house: TroubleText,
    pub(crate) house_away: TroubleText,
    pub(crate) house_busy: TroubleText,
    pub(crate) method_unknown: TroubleText,
    pub(crate) not_admitted: TroubleText,
    pub(crate) mcp_address: TroubleText,
    pub(crate) not_found: TroubleText,
    pub(crate) not_signed_in: TroubleText,
    pub(crate) nothing_ticked: TroubleText,
    pub(crate) other_browser: TroubleText,
    pub(crate) person_disabled: TroubleText,
    pub(crate) provider_away: TroubleText,
    pub(crate) provider_declined: TroubleText,
    pub(crate) provider_not_allowed: TroubleText,
    pub(crate) provider_unknown: TroubleText,
    pub(crate) provider_untrusted: TroubleText,
    pub(crate) redirect_unknown: TroubleText,
    pub(crate) request_broken: TroubleText,
    pub(crate) server_gone: TroubleText,
    pub(crate) stale_page: TroubleText,
    pub(crate) too_large: TroubleText,
    pub(crate) too_many: TroubleText,
    pub(crate) too_many_waiting: TroubleText,
    pub(crate) unknown: TroubleText,
    pub(crate) unknown_person: TroubleText,
    pub(crate) user_code_unknown: TroubleText,
    pub(crate) user_code_used: TroubleText,
    pub(crate) wrong_host: TroubleText,
}

impl Troubles {
    /// The text for a kind.
    pub(crate) const fn of(&self, trouble: Trouble) -> &TroubleText {
        match trouble {
            Trouble::AlreadyDecided => &self.already_decided,
            Trouble::ClientBlocked => &self.client_blocked,
            Trouble::ClientDocument => &self.client_document,
            Trouble::ClientHostRefused => &self.client_host_refused,
            Trouble::ClientMistake => &self.client_mistake,
            Trouble::ClientOutside => &self.client_outside,
            Trouble::ClientUnknown => &self.client_unknown,
            Trouble::ConnectOtherPerson => &self.connect_other_person,
            Trouble::ConnectAway => &self.connect_away,
            Trouble::ConnectOtherBrowser => &self.connect_other_browser,
            Trouble::ConnectOver => &self.connect_over,
            Trouble::ConnectProvider => &self.connect_provider,
            Trouble::EmergencyCodeUnknown => &self.emergency_code_unknown,
            Trouble::Expired => &self.expired,
            Trouble::FormForeign => &self.form_foreign,
            Trouble::House => &self.house,
            Trouble::HouseAway => &self.house_away,
            Trouble::HouseBusy => &self.house_busy,
            Trouble::MethodUnknown => &self.method_unknown,
            Trouble::NotAdmitted => &self.not_admitted,
            Trouble::McpAddress => &self.mcp_address,
            Trouble::NotFound => &self.not_found,
            Trouble::NotSignedIn => &self.not_signed_in,
            Trouble::NothingTicked => &self.nothing_ticked,
            Trouble::OtherBrowser => &self.other_browser,
            Trouble::PersonDisabled => &self.person_disabled,
            Trouble::ProviderAway => &self.provider_away,
            Trouble::ProviderDeclined => &self.provider_declined,
            Trouble::ProviderNotAllowed => &self.provider_not_allowed,
            Trouble::ProviderUnknown => &self.provider_unknown,
            Trouble::ProviderUntrusted => &self.provider_untrusted,
            Trouble::RedirectUnknown => &self.redirect_unknown,
            Trouble::RequestBroken => &self.request_broken,
            Trouble::ServerGone => &self.server_gone,
            Trouble::StalePage => &self.stale_page,
            Trouble::TooLarge => &self.too_large,
            Trouble::TooMany => &self.too_many,
            Trouble::TooManyWaiting => &self.too_many_waiting,
            Trouble::Unknown => &self.unknown,
            Trouble::UnknownPerson => &self.unknown_person,
            Trouble::UserCodeUnknown => &self.user_code_unknown,
            Trouble::UserCodeUsed => &self.user_code_used,
            Trouble::WrongHost => &self.wrong_host,
        }
    }
}

impl Trouble {
    /// Every kind.
    pub(crate) const ALL: [Self; 43] = [
        Self::AlreadyDecided,
        Self::ClientBlocked,
        Self::ClientDocument,
        Self::ClientHostRefused,
        Self::ClientMistake,
        Self::ClientOutside,
        Self::ClientUnknown,
        Self::ConnectOtherPerson,
        Self::ConnectAway,
        Self::ConnectOtherBrowser,
        Self::ConnectOver,
        Self::ConnectProvider,
        Self::EmergencyCodeUnknown,
        Self::Expired,
        Self::FormForeign,
        Self::House,
        Self::HouseAway,
        Self::HouseBusy,
        Self::McpAddress,
        Self::MethodUnknown,
        Self::NotAdmitted,
        Self::NotFound,
        Self::NotSignedIn,
        Self::NothingTicked,
        Self::OtherBrowser,
        Self::PersonDisabled,
        Self::ProviderAway,
        Self::ProviderDeclined,
        Self::ProviderNotAllowed,
        Self::ProviderUnknown,
        Self::ProviderUntrusted,
        Self::RedirectUnknown,
        Self::RequestBroken,
        Self::ServerGone,
        Self::StalePage,
        Self::TooLarge,
        Self::TooMany,
        Self::TooManyWaiting,
        Self::Unknown,
        Self::UnknownPerson,
        Self::UserCodeUnknown,
        Self::UserCodeUsed,
        Self::WrongHost,
    ];
}
