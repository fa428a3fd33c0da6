//! English.

use std::time::Duration;

use super::{Text, TroubleText, Troubles};

pub(super) static TEXT: Text = Text {
    skip: "Skip to the content",
    reference: "Reference {reference}",

    wants_to_use: "“{client}” wants to use {server}",
    nameless_wants_to_use: "An application without a name wants to use {server}",
    at_address: "at {address}",
    unverified_name: "Unverified name. Anybody can call an application “{name}”.",
    unverified_nameless: "The application did not give a name, and nobody vouches for it.",
    vouched_by_operator: "Set up by the operator of this service.",
    vouched_by_host: "The host is verified. The name “{name}” is its own choice.",
    nameless_vouched_by_host: "The host is verified. It gives the application no name.",
    published_at: "Published by {host}",
    any_program_here: "Any program on this computer can pretend to be this application. Go on only if you have just started it yourself.",
    any_application_here: "Any application on this device can claim such links. Go on only if you have just started this yourself.",
    in_letters: "In its own letters: {letters}",
    on_this_computer: "It runs on this computer ({host})",
    at_a_host: "It is at {host}",
    behind_a_scheme: "It opens links that begin with {scheme}:",

    login_title: "Sign in",
    login_lead: "Sign in first. After that you decide what it may do.",
    login_address: "Your e-mail address at work",
    login_next: "Next",
    login_continue: "Continue with {provider}",
    login_not_admitted: "You are signed in as {account}, who has no access to this MCP server. Sign in with another account, or ask the person who runs this site.",
    login_not_you: "If you did not start this, close the page. Nothing has been allowed yet.",

    approval_title: "An administrator must approve this application first",
    approval_lead: "You are signed in as {account}. Nothing has been allowed yet.",
    approval_how: "Tell the person who runs this site which application you need and what for, and give them this line.",
    approval_wait: "Your place is kept for {wait}. When it is approved, try again here, in this browser. Later, connect again from your application.",
    approval_again: "Try again",

    development_title: "Sign in for development",
    development_lead: "This sign-in asks for no password. It is meant for trying things out on this computer.",
    development_field: "Sign in as",
    development_submit: "Sign in",

    on_a_device: "It runs on a device that asked from {address}",
    device_title: "Connect a device",
    device_lead: "A device or a program without a browser of its own shows a code. Type it here to let it in.",
    device_field: "Code",
    device_compare: "Compare it letter by letter with what the device shows, even if it is filled in already.",
    device_beware: "Go on only if the device is in your hands and you have just started this on it. If somebody sent you the link or the code, close the page: they would get your access, not you.",
    device_submit: "The codes are the same: go on",
    device_allowed: "The device is connected",
    device_allowed_now: "Return to it. You can close this page.",
    device_denied: "The device was not connected",
    device_denied_now: "Nothing was allowed. You can close this page.",

    connect_title: "Connect your account for {server}",
    connect_lead: "You are signed in here as {account}. You are sent to {host}; sign in there with your own account and allow the access. From then on your applications use {server} in the name of that account, and nobody else does.",
    connect_scopes: "What is asked for there",
    connect_no_scopes: "What {host} gives by default",
    connect_beware: "Go on only if you want to use this server yourself. If the account there is not yours, cancel there.",
    connect_submit: "Go on to {host}",
    connections_title: "Your connected accounts",
    connections_lead: "By these accounts your applications use MCP servers in your name.",
    connections_none: "No account is connected.",
    connections_done: "The account is connected. Go back to your application and try again.",
    connection_allowed: "Allowed there",
    connection_missing: "Not allowed there",
    connection_account: "Account there",
    connection_made: "Connected",
    connection_rotated: "Renewed by itself, last",
    connection_expires: "Good until",
    connection_lasts: "Until it is ended",
    connection_dead: "It is not accepted there any more.",
    connection_again: "Connect again",
    connection_end: "Disconnect",

    emergency_title: "Sign in with an emergency code",
    emergency_lead: "A code is made by the person who runs this site, for one person and a few minutes. Its use is recorded and looked at.",
    emergency_field: "Emergency code",

    consent_title: "Allow access",
    consent_somebody_else: "Not you?",
    consent_able_to: "It will be able to",
    consent_further: "Allow more MCP servers at once",
    consent_further_lead: "What you tick is allowed to the same application without another page, once each and within the next minutes, when it asks for it.",
    consent_further_all: "All of these",
    consent_return: "After you allow, you return to",
    consent_how_long: "How long",
    consent_lifetime: "At most {total}, and no longer than {idle} without use.",
    consent_life: "For a shorter time",
    consent_life_longest: "No, as above",
    consent_cancel: "Cancel",
    consent_allow: "Allow",
    scope_read: "see and search what is there",
    scope_write: "create and change things",
    duration,

    trouble_act_first: "Go back to {host}",
    troubles: TROUBLES,

    index_title: "MCP servers",
    index_lead: "Paste the address of an MCP server into your client. It opens this site in your browser once, to sign in.",
    index_empty: "There is no MCP server here yet. The operator adds one in the configuration, under [[mcp_server]].",
    index_by_command: "With a command or a file",
    index_connections: "The accounts that you have connected",
    index_how: "How to connect",
    index_steps: [
        "In your client, add a remote MCP server (its transport is called Streamable HTTP).",
        "Paste the address and leave every other field empty.",
        "Your browser opens. Check who is asking, sign in, and choose what it may do.",
    ],
};

fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    let (count, one, many) = match seconds {
        DAY.. => (seconds / DAY, "day", "days"),
        HOUR.. => (seconds / HOUR, "hour", "hours"),
        _ => (seconds.div_ceil(MINUTE), "minute", "minutes"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

const TROUBLES: Troubles = Troubles {
    already_decided: TroubleText {
        happened: "This was already decided",
        means: "You, or somebody at this browser, have answered this page before. Its answer stands.",
        now: "Return to your application. If it is not connected, connect again from there.",
    },
    client_blocked: TroubleText {
        happened: "This application may not connect here",
        means: "The person who runs this site has stopped it. Nothing was allowed.",
        now: "If you need it, ask the person who runs this site.",
    },
    client_document: TroubleText {
        happened: "The description of the application could not be used",
        means: "An application publishes it at its own address. It could not be fetched from there, or is not in order. Nothing was allowed.",
        now: "Try again in a moment. If that does not help, tell the maker of the application.",
    },
    client_host_refused: TroubleText {
        happened: "Applications from this publisher are not accepted here",
        means: "The person who runs this site has not named the host that publishes this application. Nothing was allowed.",
        now: "If you need it, ask the person who runs this site.",
    },
    client_mistake: TroubleText {
        happened: "The application asked for something that is not possible",
        means: "Nothing was allowed. You can return to the application, and it will be told what was wrong.",
        now: "Only go back if you know where the link leads.",
    },
    client_outside: TroubleText {
        happened: "This application may not use this MCP server",
        means: "It keeps what it reads outside your organisation, and the person who runs this site has closed this MCP server to such applications. Nothing was allowed.",
        now: "Use an application on your own computer, or ask the person who runs this site.",
    },
    client_unknown: TroubleText {
        happened: "The application is not known here",
        means: "It may have been connected long ago, or to another site of the same address. Nothing was allowed.",
        now: "In your application, remove this connection and add it again. It then makes itself known anew.",
    },
    connect_other_person: TroubleText {
        happened: "This link is for somebody else",
        means: "It was made for another person than the one who is signed in here. Nothing was connected.",
        now: "If it was sent to you, do not use it. To connect an account of your own, start from your own application.",
    },
    connect_over: TroubleText {
        happened: "This connection cannot be finished",
        means: "It took too long, or was finished already. Nothing was connected now.",
        now: "Start again from your application, in this browser.",
    },
    connect_away: TroubleText {
        happened: "The other site does not answer",
        means: "Nothing was connected.",
        now: "Wait a minute, then start again from your application.",
    },
    connect_other_browser: TroubleText {
        happened: "This connection belongs to another browser",
        means: "It must end in the browser in which it was started, by the person who started it. Nothing was connected.",
        now: "If you were sent here by somebody else, close the page. Otherwise start again from your application, and finish in the browser that it opens.",
    },
    connect_provider: TroubleText {
        happened: "The account could not be connected",
        means: "The other site did not allow it, or did not answer as it should. Nothing was connected.",
        now: "Try again. If it happens again, tell the person who runs this site the reference below.",
    },
    emergency_code_unknown: TroubleText {
        happened: "This emergency code is not good",
        means: "It may have been used, or be over, or be mistyped. You are not signed in, and nothing was allowed.",
        now: "Go back and check the code, or ask the person who runs this site for another.",
    },
    expired: TroubleText {
        happened: "The sign-in took too long",
        means: "A sign-in is kept for a few minutes only. Nothing was allowed.",
        now: "Connect again from your application.",
    },
    form_foreign: TroubleText {
        happened: "This page did not come from your sign-in",
        means: "The answer was not sent from the page that was made for you, so it was not taken. Nothing was allowed.",
        now: "Connect again from your application.",
    },
    house: TroubleText {
        happened: "Something is broken here",
        means: "This is not your doing. Nothing was allowed.",
        now: "Tell the person who runs this site, and give them the reference.",
    },
    house_away: TroubleText {
        happened: "This site cannot answer at the moment",
        means: "This is not your doing. Nothing was allowed.",
        now: "Wait a minute, then try again.",
    },
    house_busy: TroubleText {
        happened: "Too many sign-ins have been started",
        means: "Sign-ins that were begun and not finished are kept for a few minutes, and there is no room for more.",
        now: "Wait a few minutes, then connect again from your application.",
    },
    method_unknown: TroubleText {
        happened: "This page cannot be used in that way",
        means: "Nothing was changed.",
        now: "Go back to the page before, or connect again from your application.",
    },
    not_admitted: TroubleText {
        happened: "You have no access to this MCP server",
        means: "You are signed in, but the MCP server is open to others only.",
        now: "Ask the person who runs this site to let you in.",
    },
    mcp_address: TroubleText {
        happened: "This address is for an application",
        means: "It is the address of an MCP server. A browser can do nothing with it.",
        now: "Paste it into your application, where it wants the address of an MCP server. The application opens this site in your browser when you have to sign in.",
    },
    not_signed_in: TroubleText {
        happened: "You are not signed in",
        means: "This page shows the accounts that you have connected, and nobody is signed in here in this browser.",
        now: "Connect from your application: you sign in there. Then open this page again, in the same browser.",
    },
    not_found: TroubleText {
        happened: "There is no such page",
        means: "The address may have been typed or copied with a mistake.",
        now: "Check the address. An MCP server's address ends in /mcp, and is opened by an application rather than a browser.",
    },
    nothing_ticked: TroubleText {
        happened: "Nothing was ticked",
        means: "You allowed the application, but gave it nothing to do.",
        now: "Go back and tick what it may do, or cancel.",
    },
    other_browser: TroubleText {
        happened: "This sign-in belongs to another browser",
        means: "It must end in the browser in which it was started. Nothing was allowed.",
        now: "Connect again from your application, and finish in the browser that it opens. If you were sent here by somebody else, close the page.",
    },
    person_disabled: TroubleText {
        happened: "Your access here has been ended",
        means: "You are known here, but may not sign in.",
        now: "Ask the person who runs this site.",
    },
    provider_away: TroubleText {
        happened: "The sign-in service does not answer",
        means: "You are not signed in, and nothing was allowed.",
        now: "Wait a minute, then connect again from your application.",
    },
    provider_declined: TroubleText {
        happened: "The sign-in was not completed",
        means: "You are not signed in, and nothing was allowed.",
        now: "To try again, connect again from your application.",
    },
    provider_not_allowed: TroubleText {
        happened: "This account may not come in here",
        means: "The sign-in service knows you, but this account is not one that may use this site.",
        now: "Connect again and choose your work account, or ask the person who runs this site.",
    },
    provider_unknown: TroubleText {
        happened: "There is no sign-in for this address",
        means: "Nobody was asked, and nothing was allowed.",
        now: "Go back, and look at the part behind the @. If it is right, ask whoever runs this service.",
    },
    provider_untrusted: TroubleText {
        happened: "The sign-in service gave an answer that cannot be trusted",
        means: "You are not signed in, and nothing was allowed.",
        now: "Connect again from your application. If it happens again, tell the person who runs this site.",
    },
    redirect_unknown: TroubleText {
        happened: "The link leads somewhere the application never named",
        means: "The sign-in would have ended at an address that the application did not register. Nothing was allowed.",
        now: "Do not use the link again. Connect from your application; if it happens again, tell the person who runs this site.",
    },
    request_broken: TroubleText {
        happened: "The application sent a request that cannot be read",
        means: "Something that must be there is missing, or there twice. Nothing was allowed.",
        now: "Connect again from your application. If it happens again, tell whoever makes the application.",
    },
    server_gone: TroubleText {
        happened: "This MCP server is not here any more",
        means: "The person who runs this site has removed or renamed it.",
        now: "Remove it from your application, or ask for its new address.",
    },
    stale_page: TroubleText {
        happened: "What the page showed has changed",
        means: "Something about the application or the MCP server changed while the page was open, so your answer was not taken.",
        now: "Go back, reload the page, and read it again.",
    },
    too_large: TroubleText {
        happened: "The request is too large",
        means: "What was sent is longer than this site accepts. Nothing was changed.",
        now: "Connect again from your application. If it happens again, tell the person who runs this site.",
    },
    too_many: TroubleText {
        happened: "There were too many requests",
        means: "This site limits how often one network may ask, to stay open to all.",
        now: "Wait a minute, then try again.",
    },
    too_many_waiting: TroubleText {
        happened: "You are waiting for too many applications",
        means: "An administrator has not decided about the ones you asked for before. Nothing was allowed.",
        now: "Ask the person who runs this site to decide about those, then connect again from your application.",
    },
    unknown: TroubleText {
        happened: "There is no such sign-in",
        means: "It may have ended, or the address is incomplete.",
        now: "Connect again from your application.",
    },
    unknown_person: TroubleText {
        happened: "There is nobody of that name",
        means: "The configuration lists who may sign in here for development.",
        now: "Go back and choose one of the names that the field offers.",
    },
    user_code_unknown: TroubleText {
        happened: "There is no such code",
        means: "It may be mistyped, or its few minutes are over. Nothing was allowed.",
        now: "Compare it with what the device shows, and type it again; or start again on the device.",
    },
    user_code_used: TroubleText {
        happened: "This code was used",
        means: "Somebody has begun with it in another browser, or has answered. Nothing more was allowed.",
        now: "Start again on the device. If it was not you who used the code, tell the person who runs this site.",
    },
    wrong_host: TroubleText {
        happened: "This address is not the one of this site",
        means: "The site answers under one address only, which the person who runs it has set.",
        now: "Use the address that you were given.",
    },
};
