//! Functions of the host's own behind `$ext`, written in C.
#![expect(unsafe_code, reason = "exports to C; pointers are checked in `border`")]

use crate::border::{Bytes, Fault, Opaque, Status, check_size, guard, unique};
use smesec_core::taas::{Call, Extension, Value};
use std::ffi::c_void;
use std::sync::Arc;

/// Functions of the host's own, which test files call by name. They are called on the threads that load and run
/// the suite, so by several at once if several run it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "C fills it in place")]
pub struct ExtensionVtable {
    /// sizeof(smesec_extension_vtable).
    pub size: usize,
    /// Whether there is a function of that name, such as `my_package.checks:is_paid`; NULL offers every name. A
    /// test that needs one that is not offered is skipped and says so.
    pub offers: Option<unsafe extern "C" fn(user: *mut c_void, function: Bytes) -> bool>,
    /// Calls a function. `arguments` is a JSON object: `args`, a list; `kwargs`, an object; `response`, the answer
    /// it judges, or null: `status`, `headers` (pairs of name and value) and `body`, bytes that are not UTF-8
    /// replaced. It sets `answer`; one that is not set is null.
    pub call: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            function: Bytes,
            arguments: Bytes,
            answer: *mut Answer,
        ),
    >,
    /// Called once, when nothing uses the functions any more; may be NULL.
    pub free: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

impl ExtensionVtable {
    /// A table of the host's, checked; null is none.
    pub(super) unsafe fn read(table: *const Self) -> Result<Option<Self>, Fault> {
        // SAFETY: null or a table, as the header asks.
        let Some(vtable) = (unsafe { table.as_ref() }) else { return Ok(None) };
        check_size(vtable.size, size_of::<Self>(), "smesec_extension_vtable")?;
        vtable.call.ok_or_else(|| Fault::null("`call`"))?;
        Ok(Some(*vtable))
    }

    /// The functions as the library calls them; `user` is freed with the last use.
    pub(super) fn over(self, user: *mut c_void) -> Arc<dyn Extension> {
        Arc::new(CExtension { user: Opaque::new(user, self.free), vtable: self })
    }
}

/// Where a function of the host's puts what came of it; valid during that call only, on its thread.
#[derive(Debug)]
pub struct Answer {
    inner: Result<Value, String>,
}

#[derive(Debug)]
struct CExtension {
    vtable: ExtensionVtable,
    user: Opaque,
}

impl Extension for CExtension {
    fn offers(&self, function: &str) -> bool {
        self.vtable.offers.is_none_or(|offers| {
            // SAFETY: the host vouches for its function, on any thread.
            unsafe { offers(self.user.pointer(), Bytes::of(function.as_bytes())) }
        })
    }

    fn call(&self, call: &Call<'_>) -> Result<Value, String> {
        let function = Bytes::of(call.function.as_bytes());
        let arguments = arguments(call)?;
        let Some(body) = self.vtable.call else { return Err("no function".to_owned()) };
        let mut answer = Answer { inner: Ok(Value::default()) };
        // SAFETY: as above; the answer lives until the function has returned.
        unsafe {
            body(self.user.pointer(), function, Bytes::of(arguments.as_bytes()), &raw mut answer);
        };
        answer.inner
    }
}

/// What a call hands over, as JSON.
fn arguments(call: &Call<'_>) -> Result<String, String> {
    let list = |items: Vec<String>| items.join(", ");
    let args = call.args.iter().map(Value::to_json).collect::<Result<Vec<_>, _>>()?;
    let kwargs = call.kwargs.iter().map(|(name, value)| {
        let name = serde_json::Value::from(name.as_str());
        Ok(format!("{name}: {}", value.to_json()?))
    });
    let kwargs = kwargs.collect::<Result<Vec<_>, String>>()?;
    let response = call.response.map_or(serde_json::Value::Null, |response| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> =
            response.headers.iter().map(|(name, value)| (name, text(value))).collect();
        serde_json::json!({
            "status": response.status,
            "headers": headers,
            "body": text(&response.body),
        })
    });
    let (args, kwargs) = (list(args), list(kwargs));
    Ok(format!(r#"{{"args": [{args}], "kwargs": {{{kwargs}}}, "response": {response}}}"#))
}

/// Answers a call with a value, as JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_answer_value(answer: *mut Answer, json: Bytes) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Bytes`.
        let (answer, json) = unsafe { (unique(answer, "the answer")?, json.get()?) };
        let value = Value::from_json(json)
            .map_err(|why| Fault::config(format!("the answer is no JSON: {why}")))?;
        answer.inner = Ok(value);
        Ok(())
    })
}

/// Answers a call with a failure and its reason: a check that fails so has failed its test.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn smesec_answer_failure(answer: *mut Answer, why: Bytes) -> Status {
    guard(|| {
        // SAFETY: see `unique` and `Bytes`.
        let (answer, why) = unsafe { (unique(answer, "the answer")?, why.lossy()?) };
        answer.inner = Err(why);
        Ok(())
    })
}
