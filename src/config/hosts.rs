//! The login and the hosts of a URL that names several servers.

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use url::Host;

use super::endpoint::{USER, decode};
use super::secret::MASK;
use super::{Address, Secret};

/// What stands between `://` and the path.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) hosts: Vec<Address>,
}

impl Authority {
    /// Reads `[user:password@]host[:port],…`; a host without a port has this one.
    ///
    /// # Errors
    /// Says why not, without a part of the text that can be a password.
    pub(super) fn read(text: &str, port: u16) -> Result<Self, String> {
        let (login, hosts) = match text.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, text),
        };
        let (user, password) = match login {
            Some(login) => read_login(login)?,
            None => (None, None),
        };
        let hosts = hosts.split(',').map(|host| read_host(host, port));
        Ok(Authority {
            user,
            password,
            hosts: hosts.collect::<Result<_, _>>()?,
        })
    }
}

/// A login as it stands in a URL, with `***` for a password that is shown to be there.
pub(super) fn shown_login(user: Option<&str>, has_password: bool) -> String {
    let name = utf8_percent_encode(user.unwrap_or_default(), USER);
    match (user, has_password) {
        (_, true) => format!("{name}:{MASK}@"),
        (Some(_), false) => format!("{name}@"),
        (None, false) => String::new(),
    }
}

fn read_login(text: &str) -> Result<(Option<String>, Option<Secret>), String> {
    if text.contains(['@', '/', '?']) {
        return Err("percent-encode / ? # [ ] @ in a password".to_owned());
    }
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = Some(decode(user)?).filter(|user| !user.is_empty());
    let password = password.map(decode).transpose()?;
    let password = password.filter(|password| !password.is_empty());
    Ok((user, password.map(Secret::new)))
}

fn read_host(text: &str, port: u16) -> Result<Address, String> {
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of an address in brackets belongs to it.
        Some((host, port)) if !port.contains(']') => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, port.ok_or("a port must be a number from 1 to 65535")?)
        }
        _ => (text, port),
    };
    let decoded = percent_decode_str(host)
        .decode_utf8()
        .map_err(|_| "what is percent-encoded must be UTF-8")?;
    let host = match Host::parse(&decoded).map_err(|error| format!("a host is wrong: {error}"))? {
        Host::Domain(name) => name,
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Ok(Address::Tcp { host, port })
}
