// A folder's files as one zip, uncompressed: what the server reads anyway.
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let k = 0; k < 8; k++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

function numbers(...fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

// The names are those within the chosen folder: of it only what is below counts.
export async function zipped(files) {
  if (!files.length) throw new Error("the folder must hold PNG files, in a folder for each class, and holds none");
  if (files.length > 65000) throw new Error(`a folder must hold at most 65000 files, and holds ${files.length}; import a zip instead`);
  const parts = [];
  const entries = [];
  let at = 0;
  for (const file of files) {
    const name = new TextEncoder().encode(file.webkitRelativePath.split("/").slice(1).join("/") || file.name);
    const content = new Uint8Array(await file.arrayBuffer());
    const facts = [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, checksum(content)], [4, content.length], [4, content.length], [2, name.length], [2, 0]];
    parts.push(numbers([4, 0x04034b50], ...facts), name, content);
    entries.push(numbers([4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), name);
    at += 30 + name.length + content.length;
  }
  const size = entries.reduce((sum, part) => sum + part.length, 0);
  return new Blob([...parts, ...entries, numbers([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, at], [2, 0])]);
}
