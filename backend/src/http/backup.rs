//! A backup of everything, while serving.

use std::sync::Arc;

use futures_util::stream;
use poem::web::Data;
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiResponse, OpenApi};

use super::Tags;
use super::guard::Admin;
use super::problem::ApiError;
use crate::app::App;
use crate::domain::backup::file_name;
use crate::flows::backup::{self, Chunks};

/// Backups.
pub struct BackupApi;

#[OpenApi(tag = "Tags::Administration")]
impl BackupApi {
    /// Everything that a restore needs, as it is at this moment.
    ///
    /// Least role: admin. The file that `infra-watch restore` takes: it holds every secret, so keep it like one, or let
    /// `infra-watch backup` encrypt it on its way. Without the manifest at its end it is not whole.
    #[oai(path = "/backup", method = "post", operation_id = "create_backup")]
    async fn create_backup(
        &self,
        caller: Admin,
        app: Data<&Arc<App>>,
    ) -> Result<Archive, ApiError> {
        let chunks = backup::begin(&app, &caller.0).await?;
        Ok(Archive {
            name: file_name(app.clock.now(), false),
            chunks,
        })
    }
}

/// A file that is made while it is sent.
struct Archive {
    name: String,
    chunks: Chunks,
}

impl Payload for Archive {
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            format: Some("binary"),
            ..MetaSchema::new("string")
        }))
    }
}

impl IntoResponse for Archive {
    fn into_response(self) -> Response {
        let chunks = stream::unfold(self.chunks, async |mut chunks| {
            let chunk = chunks.recv().await?;
            Some((chunk, chunks))
        });
        Response::builder()
            .content_type(Self::CONTENT_TYPE)
            .header(
                "Content-Disposition",
                format!("attachment; filename=\"{}\"", self.name),
            )
            .body(Body::from_bytes_stream(chunks))
    }
}

impl ApiResponse for Archive {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The backup.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: Self::schema_ref(),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
