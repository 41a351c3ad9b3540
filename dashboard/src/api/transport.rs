//! The way to the server: the browser's own `fetch`, the same for every operation.

use infra_watch_client::Request;
use js_sys::Uint8Array;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Headers, RequestInit, Response};

use super::{Answer, ApiError};

/// Sends a request with the token there is; the answer is the body of a success.
pub async fn send(request: &Request, token: Option<&str>) -> Answer<Vec<u8>> {
    let (status, body) = fetch(request, token)
        .await
        .map_err(|_| ApiError::unreachable())?;
    match status {
        200..300 => Ok(body),
        _ => Err(ApiError::refused(status, &body)),
    }
}

async fn fetch(request: &Request, token: Option<&str>) -> Result<(u16, Vec<u8>), JsValue> {
    let headers = Headers::new()?;
    headers.set("accept", "application/json")?;
    if let Some(token) = token {
        headers.set("authorization", &format!("Bearer {token}"))?;
    }
    let options = RequestInit::new();
    options.set_method(request.method);
    if let Some(body) = &request.body {
        headers.set("content-type", "application/json")?;
        options.set_body(&JsValue::from_str(body));
    }
    options.set_headers(&headers);
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    let response: Response =
        JsFuture::from(window.fetch_with_str_and_init(&request.target, &options))
            .await?
            .dyn_into()?;
    let body = JsFuture::from(response.array_buffer()?).await?;
    Ok((response.status(), Uint8Array::new(&body).to_vec()))
}
