-- name: List :many
SELECT d.id FROM documents AS d
WHERE d.words >= sqlc.arg(words) AND /* authorize: document as d */ FALSE
ORDER BY d.id;

-- name: Shelved :many
SELECT d.id FROM documents AS d JOIN folders AS f ON f.id = d.folder_id
WHERE d.words >= sqlc.arg(words)
  AND /* authorize: document as d */ FALSE
  AND /* authorize: folder as f */ FALSE
ORDER BY d.id;

-- name: Count :many
SELECT d.folder_id, count(*) AS documents, sum(d.words)::bigint AS words FROM documents AS d
WHERE /* authorize: document as d */ FALSE
GROUP BY d.folder_id ORDER BY d.folder_id;

-- name: Rename :execrows
UPDATE documents AS d SET title = $1 WHERE /* authorize: document as d */ FALSE;

-- name: Remove :execrows
DELETE FROM documents AS d WHERE d.words < sqlc.arg(words) AND /* authorize: document as d */ FALSE;

-- name: Copy :execrows
INSERT INTO documents (folder_id, org_id, owner_id, title, words)
SELECT sqlc.arg(target)::bigint, d.org_id, d.owner_id, d.title, d.words FROM documents AS d
WHERE d.folder_id = sqlc.arg(source) AND /* authorize: document as d */ FALSE;

-- name: Ping :one
SELECT 1::int AS answer /* authorize: none */;
