// draw.mjs NPM_FOLDER DATA.json PICTURE.png WIDTH: bundles page.tsx, opens it in Debian's
// Chromium and photographs it. DATA.json is what take.py asked Prometheus for.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [npm, data, picture, width] = process.argv.slice(2);
const require = createRequire(path.join(npm, 'package.json'));
const { build } = require('esbuild');
const { chromium } = require('playwright-core');

const browserPath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(existsSync);
if (!browserPath) {
  console.log('skipped: chromium is not installed');
  process.exit(77);
}
// Icons and fonts, which Grafana serves below /public, from their packages.
function publicFile(wanted) {
  const weight = { Regular: 400, Medium: 500 }[wanted.match(/Inter-(\w+)\.woff2$/)?.[1]];
  const modules = path.join(npm, 'node_modules');
  if (wanted.includes('/img/icons/')) {
    return path.join(modules, '@grafana/ui/dist/public', wanted.slice(wanted.indexOf('/img/')));
  }
  return weight && path.join(modules, `@fontsource/inter/files/inter-latin-${weight}-normal.woff2`);
}

const folder = mkdtempSync(path.join(tmpdir(), 'trainyard-draw-'));
const browser = await chromium.launch({ executablePath: browserPath, args: ['--no-sandbox'] });
try {
  await build({
    entryPoints: [path.join(import.meta.dirname, 'page.tsx')], outfile: path.join(folder, 'page.js'), bundle: true,
    format: 'iife', jsx: 'automatic', nodePaths: [path.join(npm, 'node_modules')], logLevel: 'error',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.ttf': 'empty', '.png': 'dataurl' },
  });
  writeFileSync(path.join(folder, 'index.html'), '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="page.css"><div id="root"></div>' +
    `<script>window.__grafana_public_path__ = "/public/"; window.dashboard = ${readFileSync(data, 'utf8')}</script>` +
    '<script src="page.js"></script>');
  // As high as any dashboard: tables below the window's edge would stay empty.
  const page = await browser.newPage({ viewport: { width: Number(width), height: 3000 }, deviceScaleFactor: 1 });
  const trouble = [];
  page.on('pageerror', (error) => trouble.push(error.stack));
  page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
  await page.route('**/*', (route) => {
    const wanted = decodeURIComponent(new URL(route.request().url()).pathname);
    const file = publicFile(wanted) ?? path.join(folder, wanted);
    if (existsSync(file)) {
      return route.fulfill({ path: file });
    }
    console.error(`not there: ${wanted}`);
    return route.fulfill({ status: 404, body: '' });
  });
  await page.goto('http://dashboard.invalid/index.html');
  await page.waitForFunction(() => document.title || document.querySelector('section'), null, { timeout: 30000 })
    .catch(() => trouble.push('no panel was drawn within 30 s'));
  await page.waitForTimeout(2500); // icons, fonts and canvases
  if (await page.title()) {
    trouble.push(await page.title());
  }
  await page.locator('#root').screenshot({ path: picture });
  if (trouble.length > 0) {
    console.error([...new Set(trouble)].join('\n'));
    process.exitCode = 1;
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
