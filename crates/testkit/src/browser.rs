//! A browser without a window: keeps cookies, follows redirects on its own origin, submits forms.
//!
//! It behaves as browsers do where that matters to an authorization server: `Sec-Fetch-Site`, `Origin` on
//! form posts, unchecked boxes left out, cookies by host and path, and it stops where a page sends it to
//! another origin.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use url::Url;

use crate::http::{Answer, Http, form, request};

const MOST_REDIRECTS: usize = 20;

/// Where the browser has come to.
#[derive(Clone, Debug)]
pub enum Place {
    /// A page of the origin that was visited.
    Page(Page),
    /// A redirect to another origin, not followed.
    Left(Url),
}

impl Place {
    /// The page; a description of what is there instead when there is none.
    pub fn page(self) -> Result<Page, String> {
        match self {
            Self::Page(page) => Ok(page),
            Self::Left(url) => Err(format!("sent to {url}")),
        }
    }

    /// The URL of the other origin; a description of the page when there is none.
    pub fn left(self) -> Result<Url, String> {
        match self {
            Self::Left(url) => Ok(url),
            Self::Page(page) => {
                Err(format!("stayed at {} ({}): {}", page.url, page.answer.status, page.words()))
            }
        }
    }
}

/// One page as it was received.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// The answer.
    pub answer: Answer,
}

/// One form of a page.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Where it is sent.
    pub action: String,
    /// True for POST.
    pub post: bool,
    /// What would be sent if nobody changed anything.
    pub fields: Vec<(String, String)>,
    /// All check boxes: name, value.
    pub boxes: Vec<(String, String)>,
    /// Buttons with a name: name, value.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    /// Sets a field to one value, whatever it held.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// The value of a field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// What can be read on it: tags removed, white space folded.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for character in self.answer.text().chars() {
            match character {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                other if !inside => text.push(other),
                _ => {}
            }
        }
        unescape(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The forms of the page, in order.
    pub fn forms(&self) -> Vec<Form> {
        let text = self.answer.text();
        let mut forms = Vec::new();
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once("<form") {
            let (whole, next) = after.split_once("</form>").unwrap_or((after, ""));
            let (tag, inner) = whole.split_once('>').unwrap_or((whole, ""));
            forms.push(read_form(tag, inner));
            rest = next;
        }
        forms
    }

    /// Where the links of the page lead, in order.
    pub fn links(&self) -> Vec<String> {
        let text = self.answer.text();
        let tags = text.split("<a ").skip(1).filter_map(|after| after.split('>').next());
        tags.filter_map(|tag| attribute(&format!(" {tag}"), "href")).collect()
    }

    /// What the page makes a browser load: style sheets, scripts, pictures, frames.
    pub fn subresources(&self) -> Vec<String> {
        let text = self.answer.text();
        let tags: Vec<&str> = text.split('<').filter_map(|after| after.split('>').next()).collect();
        let loads = tags.iter().filter(|tag| !tag.starts_with("a ") && !tag.starts_with("form"));
        loads
            .flat_map(|tag| ["href", "src", "srcset", "data", "poster"].map(|name| attribute(tag, name)))
            .flatten()
            .collect()
    }

    /// The first form, or what the page says instead.
    pub fn form(&self) -> Result<Form, String> {
        self.forms()
            .into_iter()
            .next()
            .ok_or_else(|| format!("no form ({}): {}", self.answer.status, self.words()))
    }
}

fn read_form(tag: &str, inner: &str) -> Form {
    let mut form = Form {
        action: attribute(tag, "action").unwrap_or_default(),
        post: attribute(tag, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")),
        ..Form::default()
    };
    let mut rest = inner;
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, next) = after.split_once('>').unwrap_or((after, ""));
        rest = next;
        let name = attribute(tag, "name");
        let value = attribute(tag, "value");
        let (Some(name), kind) = (name, attribute(tag, "type").unwrap_or_default()) else { continue };
        if tag.starts_with("button") || (tag.starts_with("input") && kind == "submit") {
            form.buttons.push((name, value.unwrap_or_default()));
        } else if tag.starts_with("input") && (kind == "checkbox" || kind == "radio") {
            let value = value.unwrap_or_else(|| "on".to_owned());
            form.boxes.push((name.clone(), value.clone()));
            if tag.split_whitespace().any(|word| word == "checked" || word.starts_with("checked=")) {
                form.fields.push((name, value));
            }
        } else if tag.starts_with("input") {
            form.fields.push((name, value.unwrap_or_default()));
        }
    }
    form
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let marker = format!(" {name}=\"");
    let spaced = tag.replace(['\n', '\t'], " ");
    let (_, after) = spaced.split_once(&marker)?;
    after.split_once('"').map(|(value, _)| unescape(value))
}

fn unescape(text: &str) -> String {
    let known = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    known.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The browser of one person.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    http: Http,
    /// Cookies by `host:port`, then name.
    pub cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Headers that this browser adds to each request.
    pub extra: Vec<(String, String)>,
}

impl Browser {
    /// A browser that shares connections with a client.
    pub fn new(http: Http) -> Self {
        Self { http, ..Self::default() }
    }

    /// Opens an address as if it had been typed or clicked in another program.
    pub async fn open(&mut self, url: &str) -> Result<Place, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        self.travel(Method::GET, url, Vec::new(), "none").await
    }

    /// Opens an address as if a page of another site had linked to it.
    pub async fn open_from_elsewhere(&mut self, url: &str) -> Result<Place, String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        self.travel(Method::GET, url, Vec::new(), "cross-site").await
    }

    /// Submits a form of a page, by one of its buttons if it is named.
    pub async fn submit(
        &mut self,
        page: &Page,
        form: Form,
        button: Option<(&str, &str)>,
    ) -> Result<Place, String> {
        let url = page.url.join(&form.action).map_err(|error| error.to_string())?;
        let mut fields = form.fields;
        if let Some((name, value)) = button {
            fields.push((name.to_owned(), value.to_owned()));
        }
        if form.post {
            return self.travel(Method::POST, url, fields, "same-origin").await;
        }
        let mut url = url;
        url.query_pairs_mut().clear().extend_pairs(fields);
        self.travel(Method::GET, url, Vec::new(), "same-origin").await
    }

    async fn travel(
        &mut self,
        mut method: Method,
        mut url: Url,
        mut fields: Vec<(String, String)>,
        site: &str,
    ) -> Result<Place, String> {
        let origin = url.origin();
        for _ in 0..MOST_REDIRECTS {
            let answer = self.request_once(&method, &url, &fields, site).await?;
            self.keep_cookies(&url, &answer);
            let location = answer.header("location");
            if !answer.status.is_redirection() || location.is_empty() {
                return Ok(Place::Page(Page { url, answer }));
            }
            url = url.join(location).map_err(|error| error.to_string())?;
            if url.origin() != origin {
                return Ok(Place::Left(url));
            }
            method = Method::GET;
            fields.clear();
        }
        Err("too many redirects".to_owned())
    }

    async fn request_once(
        &self,
        method: &Method,
        url: &Url,
        fields: &[(String, String)],
        site: &str,
    ) -> Result<Answer, String> {
        let origin = url.origin().ascii_serialization();
        let cookies = self.cookie_header(url);
        let mut headers: Vec<(&str, &str)> = vec![
            ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
            ("accept-language", "en"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let mut body = Bytes::new();
        if method == Method::POST {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            headers.push(("origin", &origin));
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            body = form(&fields).into();
        }
        headers.extend(self.extra.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.http.send(request(method.clone(), url.as_str(), &headers, body)?).await
    }

    /// What this browser would send as `Cookie`.
    pub fn cookie_header(&self, url: &Url) -> String {
        let jar = self.cookies.get(&authority(url));
        let pairs = jar.into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&mut self, url: &Url, answer: &Answer) {
        let jar = self.cookies.entry(authority(url)).or_default();
        for header in answer.headers.get_all("set-cookie") {
            let Ok(text) = header.to_str() else { continue };
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let Some((name, value)) = pair.split_once('=') else { continue };
            let gone = value.is_empty() || attributes.to_ascii_lowercase().contains("max-age=0");
            if gone {
                jar.remove(name.trim());
            } else {
                jar.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}

fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}
