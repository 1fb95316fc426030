-- The rows that were there when 0019 made their references anew. Reads them all, and keeps nobody from writing.
alter table pages validate constraint pages_owner_id_document_id_fkey;
alter table chunks validate constraint chunks_owner_id_document_id_fkey;
alter table embeddings validate constraint embeddings_owner_id_document_id_fkey;
alter table processing_jobs validate constraint processing_jobs_owner_id_document_id_fkey;
alter table uploads validate constraint uploads_owner_id_document_id_fkey;
alter table webhook_deliveries validate constraint webhook_deliveries_owner_id_document_id_fkey;
alter table webhook_attempts validate constraint webhook_attempts_owner_id_delivery_id_fkey;
