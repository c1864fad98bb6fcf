import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";

// A sealed value, version 1: docs/wire.md has the format.
const version1 = 1;
const idSize = 16;
const saltSize = 16;
const ivSize = 16;
const tagSize = 16;
const saltAt = 1 + idSize;
const ivAt = saltAt + saltSize;
const headSize = ivAt + ivSize;

/** How many bytes longer a sealed value is than its plaintext. */
export const overhead = headSize + tagSize;

const labelKeyID = "rrhost key id v1";
const labelSeal = "rrhost seal v1";

// Half of what SP 800-38D 8.3 allows under one AES key.
const maxValues = 2 ** 31;
const maxBytes = 2 ** 47;

// Derived keys of senders that are kept, some hundred bytes each.
const maxSenders = 4096;

/** A new encryption key: 64 hex characters, as `ENCRYPTION_KEY` takes it. */
export function generateKey(): string {
  return randomBytes(32).toString("hex");
}

/**
 * All that the outside learns of a sealed value that does not open: whether it is
 * too short, of another version, sealed with another key, or altered.
 */
export class UndecryptableError extends Error {
  override readonly name = "UndecryptableError";

  /** @param unknownKey the id of the key that it was sealed with, where that is not in the ring */
  constructor(readonly unknownKey?: string) {
    super("undecryptable");
  }
}

interface Key {
  secret: Buffer;
  id: Buffer;
}

function parseKey(text: string, where: string): Key {
  if (!/^[0-9a-fA-F]{64}$/.test(text.trim())) {
    throw new TypeError(`${where}: a key is 64 hex characters, as \`rrhost keygen\` prints`);
  }
  const secret = Buffer.from(text.trim(), "hex");
  return { secret, id: derive(secret, Buffer.alloc(0), labelKeyID, idSize) };
}

function derive(secret: Buffer, salt: Uint8Array, label: string, size: number): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, salt, label, size));
}

/** Seals with its first key and opens with each. */
export class Ring {
  private readonly keys: Key[];
  private readonly opened = new Map<string, Buffer>();
  private salt!: Buffer;
  private aesKey!: Buffer;
  private values = 0;
  private bytes = 0;

  /**
   * @param key 64 hex characters
   * @param open further keys that only open
   * @throws TypeError naming the key that is none
   */
  constructor(key: string, open: readonly string[] = []) {
    this.keys = [parseKey(key, "key"), ...open.map((text, i) => parseKey(text, `openKeys[${i}]`))];
    this.newSalt();
  }

  /** The id of the key that seals, in hex. It is no secret. */
  get activeID(): string {
    return this.keys[0]!.id.toString("hex");
  }

  /** Seals plain, bound to about. */
  seal(plain: Uint8Array, about: Uint8Array): Buffer {
    const size = plain.length + about.length;
    if (this.values > 0 && (this.values >= maxValues || this.bytes + size > maxBytes)) this.newSalt();
    this.values++;
    this.bytes += size;
    return sealWith(this.aesKey, this.keys[0]!.id, this.salt, randomBytes(ivSize), plain, about);
  }

  /**
   * Opens what was sealed with a key of the ring and bound to about.
   *
   * @throws UndecryptableError
   */
  open(sealed: Uint8Array, about: Uint8Array): Buffer {
    if (sealed.length < overhead || sealed[0] !== version1) throw new UndecryptableError();
    const value = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length);
    const id = value.subarray(1, saltAt);
    const key = this.find(id);
    if (!key) throw new UndecryptableError(id.toString("hex"));

    const sender = value.toString("latin1", 1, ivAt);
    const known = this.opened.get(sender);
    const aesKey = known ?? derive(key.secret, value.subarray(saltAt, ivAt), labelSeal, 32);
    const cipher = createDecipheriv("aes-256-gcm", aesKey, value.subarray(ivAt, headSize), { authTagLength: tagSize });
    cipher.setAAD(aad(value.subarray(0, ivAt), about));
    cipher.setAuthTag(value.subarray(value.length - tagSize));
    let plain: Buffer;
    try {
      plain = Buffer.concat([cipher.update(value.subarray(headSize, value.length - tagSize)), cipher.final()]);
    } catch {
      throw new UndecryptableError();
    }
    // Only now: who does not hold the key cannot fill the table.
    this.remember(sender, aesKey);
    return plain;
  }

  /** Keeps the senders heard of last. */
  private remember(sender: string, aesKey: Buffer): void {
    this.opened.delete(sender);
    this.opened.set(sender, aesKey);
    if (this.opened.size > maxSenders) this.opened.delete(this.opened.keys().next().value!);
  }

  /** Looks at every key and every byte, so that its time tells nothing of which keys there are. */
  private find(id: Buffer): Key | undefined {
    let found: Key | undefined;
    for (const key of this.keys) if (timingSafeEqual(key.id, id)) found = key;
    return found;
  }

  private newSalt(): void {
    this.salt = randomBytes(saltSize);
    this.aesKey = derive(this.keys[0]!.secret, this.salt, labelSeal, 32);
    this.values = this.bytes = 0;
  }
}

/** Seals with salt and IV given. They must never be used twice: {@link Ring.seal} sees to that. */
export function sealWith(aesKey: Buffer, id: Buffer, salt: Buffer, iv: Buffer, plain: Uint8Array, about: Uint8Array): Buffer {
  const head = Buffer.concat([Buffer.of(version1), id, salt]);
  const cipher = createCipheriv("aes-256-gcm", aesKey, iv, { authTagLength: tagSize });
  cipher.setAAD(aad(head, about));
  return Buffer.concat([head, iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** What the tag covers beside the plaintext. */
export function aad(head: Buffer, about: Uint8Array): Buffer {
  return Buffer.concat([field(labelSeal), field(head), about]);
}

/** A bound field: its length in four bytes, and its bytes. What is not there has the length ffffffff. */
export function field(value: string | Uint8Array | undefined): Buffer {
  if (value === undefined) return Buffer.of(0xff, 0xff, 0xff, 0xff);
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  const out = Buffer.allocUnsafe(4 + bytes.length);
  out.writeUInt32BE(bytes.length);
  out.set(bytes, 4);
  return out;
}
