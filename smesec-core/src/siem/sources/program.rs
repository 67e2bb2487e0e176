//! What programs say in their syslog messages: sshd and sudo to fields, others to their log source.

use super::draft::{Draft, Fault};
use crate::siem::record::LogSource;

/// Sets the log source of a program's message and adds the fields that can be read from it.
pub(super) fn read<'l>(
    program: &'l str,
    message: &'l str,
    draft: &mut Draft<'l>,
) -> Result<(), Fault> {
    // `sshd-session` since OpenSSH 9.8; `CRON` is how Debian's speaks.
    let service = match program {
        "sshd" | "sshd-session" | "sshd-auth" => "sshd",
        "sudo" => "sudo",
        "cron" | "CRON" | "crond" | "CROND" | "anacron" => "cron",
        "su" | "login" | "gdm-password" | "systemd-logind" | "polkitd" | "useradd" | "userdel"
        | "usermod" | "groupadd" | "passwd" | "chage" => "auth",
        "vsftpd" => "vsftpd",
        "clamd" | "freshclam" | "clamav" | "clamscan" => "clamav",
        "guacd" | "guacamole" => "guacamole",
        "audit" | "auditd" | "audispd" => "auditd",
        _ => "syslog",
    };
    draft.log_source = LogSource { product: "linux", category: "", service };
    // What rsyslog and syslogd make of a run of equal messages.
    let mut message = message;
    if let Some((count, inner)) = message
        .strip_prefix("message repeated ")
        .and_then(|rest| rest.split_once(" times: ["))
        .filter(|(count, _)| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
    {
        draft.number("repeated", count)?;
        draft.times = count.parse().unwrap_or(u32::MAX);
        message = inner.strip_suffix(']').unwrap_or(inner).trim_matches(' ');
    }
    match service {
        "sshd" => sshd(message, draft),
        "sudo" => sudo(message, draft),
        _ => Ok(()),
    }
}

/// OpenSSH's messages on authentication and connections, as its sources write them.
fn sshd<'l>(message: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    // What a client sends as its user name may hold ` from 192.0.2.1 port 1`: the address that
    // sshd wrote is the last.
    let peer = message.rsplit_once(" from ").map_or("", |(_, after)| after);
    let mut words = peer.split_ascii_whitespace();
    let mut address = words.next().unwrap_or_default();
    let mut port = match words.next() {
        Some("port") => words.next().unwrap_or_default(),
        _ => "",
    };
    let between = |start: &str, end: &str| -> Option<&'l str> {
        let rest = message.strip_prefix(start)?;
        Some(rest.rsplit_once(end).map_or(rest, |(user, _)| user))
    };
    let mut outcome = "failure";
    let mut user = "";
    let mut method = "";
    let action;
    if let Some((how, _)) = message.strip_prefix("Accepted ").and_then(|rest| rest.split_once(' '))
    {
        (outcome, action, method) = ("success", "login", how);
        user = user_after(message, " for ").unwrap_or_default();
    } else if let Some(rest) = message.strip_prefix("Failed ") {
        let (how, _) = rest.split_once(" for ").unwrap_or((rest, ""));
        (action, method) = ("login", how);
        user = user_after(message, " for ").unwrap_or_default();
        if let Some(name) = user.strip_prefix("invalid user ") {
            user = name;
            draft.text("invalid_user", "true")?;
        } else if user == "invalid user" {
            user = "";
            draft.text("invalid_user", "true")?;
        }
    } else if let Some(name) =
        between("Invalid user ", " from ").or_else(|| between("Illegal user ", " from "))
    {
        (user, action) = (name, "login");
        draft.text("invalid_user", "true")?;
    } else if message.starts_with("error: maximum authentication attempts exceeded for ")
        || message.starts_with("maximum authentication attempts exceeded for ")
    {
        action = "login";
        user = user_after(message, " for ").unwrap_or_default();
        user = user.strip_prefix("invalid user ").unwrap_or(user);
    } else if message.starts_with("Connection closed by ")
        || message.starts_with("Connection reset by ")
        || message.starts_with("Disconnected from ")
        || message.starts_with("Disconnecting ")
    {
        (outcome, action) = ("", "disconnect");
        (user, address, port) = peer_of(message);
    } else if message.starts_with("Received disconnect from ") {
        (outcome, action) = ("", "disconnect");
    } else if message.starts_with("Connection from ") {
        (outcome, action) = ("", "connect");
        address = peer.split(' ').next().unwrap_or_default();
    } else if let Some(rest) = message.strip_prefix("pam_unix(sshd:auth): authentication failure;")
    {
        action = "login";
        address = pair(rest, "rhost=").unwrap_or_default();
        user = pair(rest, " user=").unwrap_or_default();
        port = "";
    } else if let Some(rest) = message.strip_prefix("pam_unix(sshd:session): session ") {
        (outcome, address, port) = ("success", "", "");
        action = if rest.starts_with("opened") { "session_open" } else { "session_close" };
        let name = rest.split_once("for user ").map_or("", |(_, name)| name);
        // `root(uid=0) by (uid=0)`
        user = name.split(['(', ' ']).next().unwrap_or_default();
    } else {
        return Ok(());
    }
    draft.text_if_any("outcome", outcome)?;
    draft.text_if_any("action", action)?;
    draft.text_if_any("user", user)?;
    draft.text_if_any("src_ip", address.trim_end_matches([':', ',']))?;
    draft.number("src_port", port.trim_end_matches([':', ',']))?;
    draft.text_if_any("method", method)
}

/// The user in `… for NAME from ADDRESS …`; the name may hold blanks.
fn user_after<'l>(message: &'l str, start: &str) -> Option<&'l str> {
    let (_, rest) = message.split_once(start)?;
    Some(rest.rsplit_once(" from ").map_or(rest, |(user, _)| user))
}

/// `… by authenticating user NAME ADDRESS port N [preauth]`, or without a user.
fn peer_of(message: &str) -> (&str, &str, &str) {
    let Some((before, after)) = message.rsplit_once(" port ") else { return ("", "", "") };
    let port = after.split([' ', ':']).next().unwrap_or_default();
    let (before, address) = before.rsplit_once(' ').unwrap_or(("", before));
    let user = before.split_once(" user ").map_or("", |(_, user)| user);
    (user, address, port)
}

fn pair<'l>(text: &'l str, key: &str) -> Option<&'l str> {
    let (_, rest) = text.split_once(key)?;
    rest.split_ascii_whitespace().next()
}

/// `alice : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/home ; USER=root ; COMMAND=/bin/sh`.
fn sudo<'l>(message: &'l str, draft: &mut Draft<'l>) -> Result<(), Fault> {
    if let Some(rest) = message.strip_prefix("pam_unix(sudo:auth): ") {
        draft.text("outcome", "failure")?;
        return draft.text_if_any("user", pair(rest, " user=").unwrap_or_default());
    }
    let Some((user, mut rest)) = message.split_once(" : ") else { return Ok(()) };
    draft.text("user", user.trim())?;
    let mut outcome = "success";
    loop {
        // A command may hold ` ; `, and it is the last.
        let (part, after) = match rest.split_once(" ; ") {
            Some((part, after)) if !rest.starts_with("COMMAND=") => (part, after),
            _ => (rest, ""),
        };
        match part.split_once('=') {
            Some((key, value)) if key.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                draft.text(key, value)?;
            }
            _ => {
                outcome = "failure";
                draft.text("reason", part)?;
            }
        }
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    draft.text("outcome", outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::siem::sources::draft::Memory;

    fn fields(program: &str, message: &str) -> String {
        let mut memory = Memory::default();
        let mut draft = memory.draft(message.len(), 100);
        read(program, message, &mut draft).unwrap();
        let pairs = draft.fields.iter().map(|field| format!("{}={}", field.name, field.value.text));
        pairs.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn what_sshd_says() {
        let sshd = |message| fields("sshd", message);
        assert_eq!(
            sshd("Accepted publickey for deploy from 192.0.2.7 port 50122 ssh2: ED25519 SHA256:x"),
            "outcome=success|action=login|user=deploy|src_ip=192.0.2.7|src_port=50122|method=publickey"
        );
        assert_eq!(
            sshd("Failed password for invalid user admin from 2001:db8::7 port 4022 ssh2"),
            "invalid_user=true|outcome=failure|action=login|user=admin|src_ip=2001:db8::7|src_port=4022|method=password"
        );
        assert_eq!(
            sshd(
                "Failed password for invalid user x from 10.0.0.1 port 1 from 192.0.2.7 port 4022 ssh2"
            ),
            "invalid_user=true|outcome=failure|action=login|user=x from 10.0.0.1 port 1|src_ip=192.0.2.7|src_port=4022|method=password",
            "a name that claims another address"
        );
        assert_eq!(
            sshd("Invalid user oracle from 192.0.2.7 port 4022"),
            "invalid_user=true|outcome=failure|action=login|user=oracle|src_ip=192.0.2.7|src_port=4022"
        );
        assert_eq!(
            sshd("Connection closed by authenticating user root 192.0.2.7 port 4022 [preauth]"),
            "action=disconnect|user=root|src_ip=192.0.2.7|src_port=4022"
        );
        assert_eq!(
            sshd(
                "error: maximum authentication attempts exceeded for root from 192.0.2.7 port 4022 ssh2 [preauth]"
            ),
            "outcome=failure|action=login|user=root|src_ip=192.0.2.7|src_port=4022"
        );
        assert_eq!(
            sshd("pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)"),
            "outcome=success|action=session_open|user=alice"
        );
        assert_eq!(
            sshd(
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root"
            ),
            "outcome=failure|action=login|user=root|src_ip=192.0.2.7"
        );
        assert_eq!(sshd("Server listening on 0.0.0.0 port 22."), "");
    }

    #[test]
    fn repeated_messages_are_read_as_what_they_repeat() {
        assert_eq!(
            fields(
                "sshd",
                "message repeated 5 times: [ Failed password for root from 192.0.2.7 port 4022 ssh2]"
            ),
            "repeated=5|outcome=failure|action=login|user=root|src_ip=192.0.2.7|src_port=4022|method=password"
        );
        assert_eq!(fields("sshd", "message repeated often times: [ Failed password ]"), "");
    }

    #[test]
    fn what_sudo_says() {
        assert_eq!(
            fields(
                "sudo",
                "alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/sh -c a ; b"
            ),
            "user=alice|TTY=pts/0|PWD=/home/alice|USER=root|COMMAND=/bin/sh -c a ; b|outcome=success"
        );
        assert_eq!(
            fields(
                "sudo",
                "  bob : 3 incorrect password attempts ; TTY=tty1 ; PWD=/ ; USER=root ; COMMAND=/bin/ls"
            ),
            "user=bob|reason=3 incorrect password attempts|TTY=tty1|PWD=/|USER=root|COMMAND=/bin/ls|outcome=failure"
        );
    }
}
